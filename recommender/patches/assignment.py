"""What a change sets, once for all formats: flags, variables, keys of a file, fields of a request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from recommender.knobs import Knob, KnobType
from recommender.model import Change, KnobValue


@dataclass(frozen=True, slots=True)
class Assignment:
    """One change in the engine's own names. `value` None: the setting is left out."""

    engine: str
    value: KnobValue | None
    flags: tuple[str, ...]
    flag_off: str | None
    switch: bool  # the flags take no value
    variables: tuple[str, ...]
    key: str | None  # of the configuration file, dots between levels
    option: str | None  # field of a request
    beside: Mapping[str, KnobValue]  # more keys of the file, without whose value it would do nothing, or harm
    beside_flags: tuple[tuple[str, KnobValue], ...] = ()  # those of them that are knobs with a flag of their own

    @property
    def arguments(self) -> tuple[str, ...] | None:
        """Arguments of the command line; empty when flags are to be left out, None when there is no flag for it."""
        if not self.flags:
            return None
        if self.value is None:
            return ()
        if not self.switch:
            own = tuple(word for flag in self.flags for word in (flag, text(self.value)))
            others = tuple(word for flag, value in self.beside_flags for word in (flag, text(value)))
            return own + others + tuple(f"--{key}" for key, value in self.beside.items() if value is True)
        if text(self.value) in {"true", "1"}:
            return self.flags
        return (self.flag_off,) if self.flag_off else ()


def assignment(change: Change, knob: Knob | None, others: Mapping[str, Knob] | None = None) -> Assignment:
    """What `change` sets; `knob` is its entry of the catalogue, without which only its own names are known.

    `others` are the knobs of what is set beside it, by key.
    """
    is_flag = change.flag.startswith("-")
    keyed = change.config_key not in {change.flag, change.env} if knob is None else knob.config_key is not None
    variables = () if change.env is None else (change.env, *change.also)
    return Assignment(
        engine=change.engine,
        value=None if change.unset else change.written_new,
        flags=((change.flag,) if is_flag else ()) + (() if knob is None else knob.also_flags),
        flag_off=None if knob is None else knob.flag_off,
        switch=knob is not None and knob.type is KnobType.BOOL,
        variables=variables,
        key=change.config_key if keyed else None,
        option=None if knob is None else knob.option,
        beside=change.sets,
        beside_flags=tuple(
            (other.flag, value)
            for key, value in change.sets.items()
            if (other := (others or {}).get(key)) is not None and other.flag is not None and value is not True
        ),
    )


def text(value: KnobValue) -> str:
    """A value as one word of a command line or a variable."""
    return json.dumps(value) if isinstance(value, bool) else str(value)
