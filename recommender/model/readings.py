"""Readings of one place by name of their signal, each made when it is looked at: of a fleet most never are."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

from pydantic import SerializerFunctionWrapHandler, ValidatorFunctionWrapHandler, WrapSerializer, WrapValidator

from recommender.model.base import Model


class Reading(Model):
    """One number read from Prometheus, with the query that gave it. `value` None means unknown."""

    name: str  # signal name, e.g. "replica:llm_requests_waiting:avg2m"
    query: str
    value: float | None
    unit: str = ""
    instance: str | None = None  # replica-level readings name their replica


class Readings(Mapping[str, Reading]):
    """`numbers` are the values by name, in the order in which they are shown; `make` makes the reading of one."""

    __slots__ = ("_make", "numbers")

    def __init__(self, numbers: Mapping[str, float | None], make: Callable[[str, float | None], Reading]) -> None:
        self.numbers = numbers
        self._make = make

    def __getitem__(self, name: str) -> Reading:
        return self._make(name, self.numbers[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __contains__(self, name: object) -> bool:
        return name in self.numbers

    def __repr__(self) -> str:
        return repr(dict(self))


def numbers_of(readings: Mapping[str, Reading]) -> Mapping[str, float | None]:
    """The values of readings by name, whether these were made or not."""
    if isinstance(readings, Readings):
        return readings.numbers
    return {name: reading.value for name, reading in readings.items()}


def value_of(readings: Mapping[str, Reading], name: str) -> float | None:
    """One of these values; None when it is unknown."""
    if isinstance(readings, Readings):
        return readings.numbers.get(name)
    reading = readings.get(name)
    return None if reading is None else reading.value


def _kept(given: object, validate: ValidatorFunctionWrapHandler) -> Mapping[str, Reading]:
    if isinstance(given, Readings):
        return given
    validated: dict[str, Reading] = validate(given)
    return validated


def _made(readings: Mapping[str, Reading], serialize: SerializerFunctionWrapHandler) -> object:
    return serialize(dict(readings))


# What a model has of them: as JSON and from JSON a dict of readings.
ReadingsByName = Annotated[Mapping[str, Reading], WrapValidator(_kept), WrapSerializer(_made)]
