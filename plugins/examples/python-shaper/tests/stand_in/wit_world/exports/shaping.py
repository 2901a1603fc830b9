from dataclasses import dataclass


@dataclass
class Caller:
    request_id: str
    path: str
    key_name: str | None
