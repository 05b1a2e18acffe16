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
    beside: Mapping[str, KnobValue]  # more keys of the file, without whose value it would do nothing

    @property
    def arguments(self) -> tuple[str, ...] | None:
        """Arguments of the command line; empty when flags are to be left out, None when there is no flag for it."""
        if not self.flags:
            return None
        if self.value is None:
            return ()
        if not self.switch:
            own = tuple(word for flag in self.flags for word in (flag, text(self.value)))
            return own + tuple(f"--{key}" for key, value in self.beside.items() if value is True)
        if text(self.value) in {"true", "1"}:
            return self.flags
        return (self.flag_off,) if self.flag_off else ()


def assignment(change: Change, knob: Knob | None) -> Assignment:
    """What `change` sets; `knob` is its entry of the catalogue, without which only its own names are known."""
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
    )


def text(value: KnobValue) -> str:
    """A value as one word of a command line or a variable."""
    return json.dumps(value) if isinstance(value, bool) else str(value)
