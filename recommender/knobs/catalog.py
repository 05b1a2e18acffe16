"""The models of a knob catalogue and its loader."""

import math
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from recommender.errors import ConfigError, NotFound
from recommender.model import KnobValue, Model, Risk
from recommender.sizing import captured_batch_size

_TRUE_WORDS = {"true", "yes", "on", "1"}
_FALSE_WORDS = {"false", "no", "off", "0"}


class KnobType(StrEnum):
    """What values a knob takes."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    CHOICE = "choice"


class Knob(Model):
    """One setting of an engine: its neutral name, its flag and config key, and what is legal."""

    name: str
    flag: str = Field(pattern=r"^--[a-z0-9-]+$")
    config_key: str = Field(pattern=r"^[a-z0-9-]+$")
    type: KnobType
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    step: Literal["any", "captured_batch_size"] = "any"  # captured_batch_size: a size that has a CUDA graph
    default: KnobValue | None = None  # None: derived by the engine, so unknown to us
    risk: Risk
    notes: str = ""
    masked_by: tuple[str, ...] = ()  # config keys that, when set, make this knob without effect

    @model_validator(mode="after")
    def _consistent(self) -> "Knob":
        if self.type in {KnobType.INT, KnobType.FLOAT} and (self.minimum is None or self.maximum is None):
            raise ValueError(f"knob {self.name}: a number needs minimum and maximum")
        if (self.type is KnobType.CHOICE) != bool(self.choices):
            raise ValueError(f"knob {self.name}: choices belong to type choice, and only there")
        return self

    def parse(self, value: object) -> KnobValue | None:
        """A configured value as this knob's type; None (unknown) when it is not a legal one."""
        match self.type:
            case KnobType.BOOL:
                return _parse_bool(value)
            case KnobType.CHOICE:
                return value if isinstance(value, str) and value in self.choices else None
            case KnobType.INT | KnobType.FLOAT:
                return self._parse_number(value)

    def _parse_number(self, value: object) -> int | float | None:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            number = float(value)
        except ValueError:
            return None
        if not math.isfinite(number) or not self._within(number):
            return None
        if self.type is KnobType.FLOAT:
            return number
        return int(number) if number.is_integer() else None

    def legal_at_or_below(self, value: float) -> int:
        """The highest legal integer at or below `value`, on a captured batch size where that matters; 0 when none."""
        if not math.isfinite(value):
            value = self.maximum or 0.0
        whole = captured_batch_size(value) if self.step == "captured_batch_size" else math.floor(value)
        whole = min(whole, math.floor(self.maximum if self.maximum is not None else whole))
        return whole if self._within(whole) else 0

    def _within(self, number: float) -> bool:
        return (self.minimum is None or number >= self.minimum) and (self.maximum is None or number <= self.maximum)


def _parse_bool(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    return True if word in _TRUE_WORDS else False if word in _FALSE_WORDS else None


class KnobCatalog(Model):
    """The knobs of one engine, by neutral name and by config key."""

    engine: str
    knobs: tuple[Knob, ...]

    @model_validator(mode="after")
    def _unique(self) -> "KnobCatalog":
        for values in ([knob.name for knob in self.knobs], [knob.config_key for knob in self.knobs]):
            if len(set(values)) != len(values):
                raise ValueError(f"engine {self.engine}: a knob or a config key is listed twice")
        return self

    def get(self, name: str) -> Knob | None:
        """The knob of this neutral name, or None when the engine has none."""
        return next((knob for knob in self.knobs if knob.name == name), None)

    @property
    def by_config_key(self) -> Mapping[str, Knob]:
        """Config key -> knob."""
        return {knob.config_key: knob for knob in self.knobs}

    def neutral(self, settings: Mapping[str, KnobValue]) -> dict[str, KnobValue]:
        """Settings by config key -> settings by neutral name; unknown keys and illegal values are left out."""
        known = self.by_config_key
        found: dict[str, KnobValue] = {}
        for key, value in settings.items():
            positive = key.removeprefix("no-") if key.startswith("no-enable-") else key
            knob = known.get(positive)
            parsed = None if knob is None else knob.parse(value)
            if knob is not None and parsed is not None:
                found[knob.name] = (not parsed) if positive != key else parsed
        return found


def load(engine: str) -> KnobCatalog:
    """The catalogue of `engine`.

    Raises NotFound when there is none, ConfigError when the file is wrong.
    """
    source = resources.files("recommender.knobs").joinpath(f"{engine}.yml")
    if not engine.isidentifier() or not source.is_file():
        raise NotFound(f"no knob catalogue for engine '{engine}': its services get advice, not changes")
    try:
        return KnobCatalog.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as exc:
        raise ConfigError(f"knob catalogue {engine}.yml is wrong: {exc}") from exc
