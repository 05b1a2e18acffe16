"""What a default, a value or two knobs together depend on. Three-valued: an unknown fact decides nothing."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from recommender.knobs.version import parse
from recommender.model import KnobValue, Model


def check_version(bound: str | None) -> str | None:
    """`bound` itself; ValueError when it is none that a version can be compared with."""
    if bound is not None and parse(bound) is None:
        raise ValueError(f"'{bound}' is no version")
    return bound


class When(Model):
    """The device on which a default holds: all that is given must hold."""

    device_memory_at_least_bytes: float | None = None
    device_memory_below_bytes: float | None = None
    gpu_name_without: str | None = None  # part of the device's name, case does not count

    def holds(self, memory_bytes: float | None, gpu_name: str | None) -> bool | None:
        """Whether this is such a device; None when a fact that decides it is unknown."""
        told: list[bool | None] = []
        if (least := self.device_memory_at_least_bytes) is not None:
            told.append(None if memory_bytes is None else memory_bytes >= least)
        if (below := self.device_memory_below_bytes) is not None:
            told.append(None if memory_bytes is None else memory_bytes < below)
        if (word := self.gpu_name_without) is not None:
            told.append(None if gpu_name is None else word.lower() not in gpu_name.lower())
        return False if False in told else None if None in told else True


class Default(Model):
    """A value that the engine takes when nobody sets the knob, in neutral units; the first that holds counts.

    `value` None: the engine derives it, so it is unknown to us. Both bounds are inclusive. `unless` are keys of the
    configuration beside any of which the engine takes another value. `at_most_product_of` are knobs whose values
    multiplied bound it. `usual`: the model or the device may make it another, so it is never known by this alone.
    """

    since: str | None = None
    until: str | None = None
    when: When = When()
    unless: tuple[str, ...] = ()
    at_most_product_of: tuple[str, ...] = ()
    usual: bool = False
    value: KnobValue | None

    _bounds = field_validator("since", "until")(check_version)


class Requirement(Model):
    """What some values of a knob need. `values` empty: every value but the default."""

    values: tuple[str, ...] = ()
    compute_capability_at_least: float | None = None  # NVIDIA's, e.g. 8.9
    checkpoint: bool = False  # the weights must have been made for it: no change of a flag alone
    text: str

    def concerns(self, value: KnobValue) -> bool:
        """Whether it is a requirement of this value."""
        return not self.values or _word(value) in self.values

    def met(self, compute_capability: float | None) -> bool | None:
        """Whether the device gives it; None when that is unknown."""
        least = self.compute_capability_at_least
        if least is None:
            return True
        return None if compute_capability is None else compute_capability >= least


class Conflict(Model):
    """What a value of this knob asks of another knob: `<this> <relation> <other>` must hold.

    `value`: only this value of this knob asks. `other_value`: what `needs` and `excludes` speak of.
    """

    knob: str  # neutral name of the other
    relation: Literal["at_least", "at_most", "needs", "excludes"]
    value: str | None = None
    other_value: str | None = None
    text: str

    def broken(self, value: KnobValue, settings: Mapping[str, KnobValue]) -> bool | None:
        """Whether `value` and the other knobs' values cannot be together; None when the other is unknown."""
        if self.value is not None and _word(value) != self.value:
            return False
        other = settings.get(self.knob)
        if other is None:
            return None
        match self.relation:
            case "needs":
                return _word(other) != self.other_value
            case "excludes":
                return _word(other) == self.other_value
            case "at_least":
                return _less(value, other)
            case "at_most":
                return _less(other, value)


class LiveCall(Model):
    """The call of a management API that sets a knob of a running engine to one value."""

    method: Literal["POST", "PUT"]
    path: str = Field(pattern=r"^/")
    value: str  # the one that this call sets, e.g. "true"
    text: str


def _word(value: KnobValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _less(value: KnobValue, other: KnobValue) -> bool | None:
    return None if isinstance(value, str) or isinstance(other, str) else value < other
