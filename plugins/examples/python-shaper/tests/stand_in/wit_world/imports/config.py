def read() -> str:
    raise NotImplementedError
