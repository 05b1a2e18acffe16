"""From what NVML counts in to base units, and which values can be true."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Handle: TypeAlias = Any  # pynvml has no types
Raw: TypeAlias = int | float

# What NVML writes for "not available" where it returns success.
_NOT_AVAILABLE = frozenset({0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF})


@dataclass(frozen=True, slots=True)
class Unit:
    """Base units are raw units times `factor` over `divisor`; values outside `low` to `high` cannot be true."""

    factor: int = 1
    divisor: int = 1
    low: float = 0.0
    high: float = 2.0**63

    def value(self, raw: Raw) -> float | None:
        """Convert; None for what NVML fills in for an unknown value, and for one that is out of range."""
        if raw in _NOT_AVAILABLE:
            return None
        value = raw * self.factor / self.divisor
        return value if math.isfinite(value) and self.low <= value <= self.high else None


COUNT = Unit()
STATE = Unit(high=1)
PERCENT = Unit(divisor=100, high=1)
FAN_PERCENT = Unit(divisor=100, high=3)  # of the intended highest speed, which some fans exceed
BYTES = Unit(high=2.0**53)
KIBIBYTES = Unit(factor=1024)
MILLIWATTS = Unit(divisor=1000, high=100_000)
MILLIJOULES = Unit(divisor=1000)
NANOSECONDS = Unit(divisor=1_000_000_000)
MEGAHERTZ = Unit(factor=1_000_000, high=100e9)
CELSIUS = Unit(low=-100, high=300)
GENERATION = Unit(low=1, high=32)
WIDTH = Unit(high=64)
PSTATE = Unit(high=15)  # 32 is NVML's "unknown"


@dataclass(frozen=True, slots=True)
class Figure:
    """One series of a device: its family, the unit that NVML gives it in, its labels after `gpu`, `uuid`, `mig`."""

    family: str
    unit: Unit = field(default=COUNT)
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.family}{{{','.join(self.labels)}}}" if self.labels else self.family


Given: TypeAlias = list[tuple[Figure, Raw]]
Call: TypeAlias = Callable[[Handle], Given]
"""One question to NVML and the figures that it answers. Raises `NVMLError`."""
