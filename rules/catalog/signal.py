"""What a signal is."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The level of a signal: which labels it has."""

    REPLICA = "replica"
    SERVICE = "service"
    NODE = "node"
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class Signal:
    """One recorded series; `unit` is a base unit (`seconds`, `ratio`, `tokens`, `requests`, `bytes`, …)."""

    name: str
    unit: str
    help: str

    @property
    def level(self) -> Level:
        """The part of the name before the first colon."""
        return Level(self.name.split(":", 1)[0])
