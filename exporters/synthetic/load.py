"""How busy a synthetic GPU is: a smooth wave whose integral is known, so that counters are exact at any time."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Wave:
    """`height * sin(speed * t + phase)`; `speed` in radians a second."""

    height: float
    speed: float
    phase: float


@dataclass(frozen=True, slots=True)
class Load:
    """Between 0.5 and 1, around 0.75."""

    mean: float
    waves: tuple[_Wave, ...]

    def at(self, seconds: float) -> float:
        """The share of time in which kernels run."""
        return self.mean + sum(wave.height * math.sin(wave.speed * seconds + wave.phase) for wave in self.waves)

    def until(self, seconds: float) -> float:
        """The integral from 0: seconds at full load."""
        waves = (
            wave.height / wave.speed * (math.cos(wave.phase) - math.cos(wave.speed * seconds + wave.phase))
            for wave in self.waves
        )
        return self.mean * seconds + sum(waves)


def random_load(dice: random.Random) -> Load:
    """A slow wave of minutes and a quick one of half a minute."""
    return Load(
        mean=0.75,
        waves=(
            _Wave(0.18, math.tau / dice.uniform(150, 300), dice.uniform(0, math.tau)),
            _Wave(0.07, math.tau / dice.uniform(20, 40), dice.uniform(0, math.tau)),
        ),
    )
