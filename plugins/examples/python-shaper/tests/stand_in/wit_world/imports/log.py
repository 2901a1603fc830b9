from enum import Enum


class Level(Enum):
    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


def write(level: Level, line: str) -> None:
    raise NotImplementedError
