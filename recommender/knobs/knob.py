"""One knob: what an engine calls it, what is legal, and how neutral values become the engine's and back.

Neutral values are in base units (bytes, seconds, tokens, ratios 0-1) and neutral words; engines count in GiB, GB or MiB
and say `fp8_e4m3`. Plans, sizing and the inventory speak neutral, files and patches speak the engine's.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator, model_validator

from recommender.knobs import numbers
from recommender.knobs.conditions import Conflict, Default, LiveCall, Requirement, check_version
from recommender.model import Apply, Change, KnobValue, Model, Risk
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
    """One setting of an engine. Bounds, choices and defaults are neutral; `values`, `unit` and `scale` convert."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    flag: str | None = Field(default=None, pattern=r"^--?[A-Za-z0-9][A-Za-z0-9_.-]*$")
    flag_off: str | None = None  # the flag that turns a bool off; None: leaving `flag` out does, or nothing
    env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")
    config_key: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")  # dots between levels
    aliases: tuple[str, ...] = ()  # other config keys for the same setting
    negated_key: str | None = None  # config key that, when true, sets this one to false: "no-enable-prefix-caching"
    option: str | None = Field(default=None, pattern=r"^[a-z_]+$")  # field of a request that sets it
    type: KnobType
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    step: Literal["any", "captured_batch_size"] = "any"  # captured_batch_size: a size that has a CUDA graph
    default: KnobValue | None = None  # on every device, in every version of the bounds; None: see `defaults`
    defaults: tuple[Default, ...] = ()
    values: Mapping[str, KnobValue] = Field(default_factory=dict)  # neutral word ("true" of a bool) -> engine's
    reads: Mapping[str, str] = Field(default_factory=dict)  # more words of the engine -> neutral word
    values_since: Mapping[str, str] = Field(default_factory=dict)  # words that only later versions know
    unset: str | None = None  # the word ("true" of a bool) that is had by leaving the knob out
    unset_key: str | None = None  # config key that is left out for it; None: the knob's own
    also: tuple[str, ...] = ()  # config keys or variables that take the same value with it
    also_flags: tuple[str, ...] = ()  # their flags
    sets: Mapping[str, KnobValue] = Field(default_factory=dict)  # config keys without whose value it does nothing
    unit: str = ""  # what the engine counts in, where that is not the base unit: "GiB"
    scale: float = Field(default=1.0, gt=0)  # base units in one of the engine's
    engine_type: Literal["int", "float"] | None = None  # of the engine's number, where it differs from `type`
    notation: numbers.Notation = numbers.Notation.PLAIN
    since: str | None = None  # both bounds are inclusive: a version surely within them knows the knob
    until: str | None = None
    apply: Apply = Apply.RESTART
    risk: Risk
    live_calls: tuple[LiveCall, ...] = ()
    requires: tuple[Requirement, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    masked_by: tuple[str, ...] = ()  # config keys or variables that, when set, make this knob without effect
    source: str = ""
    notes: str = ""

    _bounds = field_validator("since", "until")(check_version)

    @model_validator(mode="after")
    def _consistent(self) -> "Knob":
        if not (self.flag or self.env or self.config_key or self.option):
            raise ValueError(f"knob {self.name}: nothing says how it is set")
        if self.type in {KnobType.INT, KnobType.FLOAT} and (self.minimum is None or self.maximum is None):
            raise ValueError(f"knob {self.name}: a number needs minimum and maximum")
        if (self.type is KnobType.CHOICE) != bool(self.choices):
            raise ValueError(f"knob {self.name}: choices belong to type choice, and only there")
        if self.default is not None and self.defaults:
            raise ValueError(f"knob {self.name}: write either default or defaults")
        for value in (self.default, *(each.value for each in self.defaults)):
            if value is not None and self.parse(value) is None:
                raise ValueError(f"knob {self.name}: its default {value} is not legal")
        self._check_words()
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The neutral words of a knob that takes words; empty for numbers."""
        return ("true", "false") if self.type is KnobType.BOOL else self.choices

    def _check_words(self) -> None:
        words = set(self.words)
        named = {*self.values, *self.values_since, *self.reads.values(), *([] if self.unset is None else [self.unset])}
        named |= {value for requirement in self.requires for value in requirement.values}
        if named - words:
            raise ValueError(f"knob {self.name}: {', '.join(sorted(named - words))} is none of its values")
        written = [str(self.values.get(word, word)) for word in sorted(words)]
        if len(set(written)) != len(written):
            raise ValueError(f"knob {self.name}: two of its values are one word of the engine's")

    @property
    def label(self) -> str:
        """What a person calls it: the flag, else the variable, the request's field or the key of the file."""
        return self.flag or self.env or self.option or self.config_key or self.name

    @property
    def key(self) -> str:
        """What names it in a configuration: the key of the file, else the variable, else the label."""
        return self.config_key or self.env or self.label

    @property
    def legal(self) -> str:
        """What is legal, in neutral units, for people."""
        if self.type is KnobType.BOOL:
            return "true or false"
        if self.type is KnobType.CHOICE:
            return ", ".join(self.choices)
        kind = "a whole number, " if self.type is KnobType.INT else ""
        return f"{kind}{self.minimum:.15g} to {self.maximum:.15g}"

    def parse(self, value: object) -> KnobValue | None:
        """A neutral value as this knob's type; None (unknown) when it is not a legal one."""
        match self.type:
            case KnobType.BOOL:
                return _parse_bool(value)
            case KnobType.CHOICE:
                return value if isinstance(value, str) and value in self.choices else None
            case KnobType.INT | KnobType.FLOAT:
                return self._parse_number(value)

    def _parse_number(self, value: object) -> int | float | None:
        number = numbers.plain(value)
        if number is None or not self._within(number):
            return None
        if self.type is KnobType.FLOAT:
            return number
        return int(number) if number.is_integer() else None

    def to_engine(self, value: KnobValue) -> KnobValue:
        """A neutral value as the engine writes it: its word, its unit. A fraction of a whole unit is cut off.

        Raises ValueError when the value is not legal, or is had only by leaving the knob out (`unset`).
        """
        legal = self.parse(value)
        if legal is None:
            raise ValueError(f"{value} is not legal for {self.label}")
        if self.is_unset(legal):
            raise ValueError(f"{_spelled(legal)} is had by leaving {self.label} out")
        return self._written(legal)

    def is_unset(self, value: KnobValue) -> bool:
        """Whether `value` is had by leaving the knob out."""
        return self.unset is not None and _spelled(value) == self.unset

    def _written(self, legal: KnobValue) -> KnobValue:
        if isinstance(legal, bool | str):
            return self.values.get(_spelled(legal), legal)
        whole = self.engine_type == "int" or (self.engine_type is None and self.type is KnobType.INT)
        return numbers.written(legal, self.scale, self.notation, whole=whole)

    def from_engine(self, value: object) -> KnobValue | None:
        """The engine's value as a neutral one; None (unknown) when it is not one that we know to be legal."""
        match self.type:
            case KnobType.BOOL:
                read = self._neutral_word(value)
                return _parse_bool(value if read is None and not self.values else read)
            case KnobType.CHOICE:
                return self.parse(self._neutral_word(value))
            case KnobType.INT | KnobType.FLOAT:
                whole = self.type is KnobType.INT and self.engine_type != "float"
                number = numbers.read(value, self.notation, whole=whole)
                if number is None:
                    return None
                number = number if self.scale == 1 else number * self.scale
                # A tenth of a GiB is no whole number of bytes.
                return self.parse(round(number) if self.type is KnobType.INT and self.scale != 1 else number)

    def _neutral_word(self, value: object) -> str | None:
        """The neutral word of the engine's word; booleans are the words "true" and "false"."""
        told = _spelled(value)
        written = {_spelled(self.values.get(word, word)): word for word in self.words}
        return written.get(told) or self.reads.get(told)

    def legal_at_or_below(self, value: float) -> int:
        """The highest legal integer at or below `value`, on a captured batch size where that matters; 0 when none.

        Where the engine counts in larger units, a whole number of them.
        """
        if math.isnan(value) or value == -math.inf:
            return 0
        value = min(value, self.maximum if self.maximum is not None else value)
        whole = captured_batch_size(value) if self.step == "captured_batch_size" else math.floor(value)
        if self.engine_type == "int" and self.scale > 1:
            whole = int(whole // self.scale * self.scale)
        return whole if self._within(whole) else 0

    def default_on(self, *, memory_bytes: float | None = None, gpu_name: str | None = None) -> KnobValue | None:
        """What the engine takes on this device when nobody sets the knob; None when that is unknown.

        Of a knob of `KnobCatalog.at(version)`: on one of the whole catalogue, defaults with bounds do not count.
        """
        held = self.default_that_holds(memory_bytes=memory_bytes, gpu_name=gpu_name)
        return None if held is None else held.value

    def default_that_holds(self, *, memory_bytes: float | None, gpu_name: str | None) -> Default | None:
        """The default of this device, with what else it depends on; None when which one holds is unknown."""
        if self.default is not None:
            return Default(value=self.default)
        for each in self.defaults:
            if each.since is not None or each.until is not None:
                return None
            holds = each.when.holds(memory_bytes, gpu_name)
            if holds is not False:
                return each if holds else None
        return None

    @property
    def names(self) -> frozenset[str]:
        """Every key of a file and every variable that sets this knob or its opposite."""
        return frozenset(
            name
            for name in (self.config_key, self.unset_key, self.env, self.negated_key, *self.aliases, *self.also)
            if name is not None
        )

    def allowed_on(self, value: KnobValue, *, compute_capability: float | None) -> bool | None:
        """Whether a device can do with `value`; None when that is unknown. Says nothing of checkpoints."""
        legal = self.parse(value)
        if legal is None:
            return False
        met = [each.met(compute_capability) for each in self.requires if self._asks(each, legal)]
        return False if False in met else None if None in met else True

    def needs_checkpoint(self, value: KnobValue) -> bool:
        """Whether the weights must have been made for `value`, so that a flag alone does not give it."""
        return any(each.checkpoint and self._asks(each, value) for each in self.requires)

    def _asks(self, requirement: Requirement, value: KnobValue) -> bool:
        return requirement.concerns(value) and (
            bool(requirement.values) or not (value == self.default or self.is_unset(value))
        )

    def change(
        self, engine: str, old: KnobValue, new: KnobValue, *, reason: str, formula: str, inputs: Mapping[str, float]
    ) -> Change:
        """The change from `old` to `new`, both neutral, with the names and values that the engine has for it.

        Raises ValueError when `new` is not legal.
        """
        legal = self.parse(new)
        if legal is None:
            raise ValueError(f"{new} is not legal for {self.label}")
        unset, before = self.is_unset(legal), self.parse(old)
        return Change(
            knob=self.name,
            engine=engine,
            flag=self.label,
            config_key=self.unset_key or self.key if unset else self.key,
            also=() if unset and self.unset_key else self.also,
            sets={} if unset else dict(self.sets),
            env=self.env,
            apply=self.apply,
            old=old,
            new=legal,
            engine_old=None if before is None else self._written(before),
            engine_new=None if unset else self.to_engine(legal),
            unset=unset,
            reason=reason,
            formula=formula,
            inputs=dict(inputs),
            risk=self.risk,
        )

    def _within(self, number: float) -> bool:
        return (self.minimum is None or number >= self.minimum) and (self.maximum is None or number <= self.maximum)


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _parse_bool(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    return True if word in _TRUE_WORDS else False if word in _FALSE_WORDS else None
