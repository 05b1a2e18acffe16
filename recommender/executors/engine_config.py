"""An engine's configuration file: nested YAML, config.pbtxt or an environment file, by its name and the engine.

A change is made in the file's own spelling: a key may stand there under another name (`tp` for
`tensor-parallel-size`), or as its opposite (`no-enable-prefix-caching`).
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Protocol

from recommender.errors import ExecutorError, NotFound
from recommender.executors.env_config import EnvConfig
from recommender.executors.pbtxt_config import PbtxtConfig
from recommender.executors.values import agrees, same, scalars
from recommender.executors.yaml_config import YamlConfig
from recommender.knobs import Knob, load
from recommender.model import Change, KnobValue

__all__ = [
    "agrees",
    "as_it_was",
    "changed",
    "current",
    "format_of",
    "means",
    "moved_beside",
    "same",
    "scalars",
    "settings",
    "with_value",
]

_BY_VARIABLES = frozenset({"tgi", "llamacpp", "ollama"})  # they read no file but their environment
_DASHES = frozenset({"vllm"})  # `max_num_seqs` is `max-num-seqs`
_FLAGS = YamlConfig(dashes=True)


class ConfigFormat(Protocol):
    """Reads and changes the text of a configuration. Raises ExecutorError; `origin` names the file in it."""

    def read(self, text: str, origin: str) -> dict[str, object]:
        """All settings by key."""
        ...

    def with_value(self, text: str, key: str, value: KnobValue, origin: str) -> str:
        """The text with one key set, every other byte as it was."""
        ...

    def without(self, text: str, key: str, origin: str) -> str:
        """The text without one key."""
        ...


def format_of(path: PurePath, engine: str) -> ConfigFormat:
    """What is in the file. Raises ExecutorError for one that cannot be changed by us."""
    name = path.name.lower()
    if name.endswith(".pbtxt"):
        return PbtxtConfig()
    if engine == "triton":
        raise ExecutorError(f"{path}: Triton reads a model's settings from config.pbtxt; name that as config_file")
    if name.endswith((".yml", ".yaml")):
        return YamlConfig(dashes=engine in _DASHES)
    if name == ".env" or name.startswith(".env.") or name.endswith(".env") or engine in _BY_VARIABLES:
        return EnvConfig()
    return YamlConfig(dashes=engine in _DASHES)


def changed(text: str, change: Change, path: PurePath) -> str:
    """The text of a configuration with a change made. Raises ExecutorError when it cannot be made there."""
    config, origin = format_of(path, change.engine), str(path)
    before, knob = config.read(text, origin), _knob(change)
    keys = _keys(change, knob, config, origin)
    if not isinstance(config, EnvConfig) and knob is not None:
        keys = (_spelled(change.config_key, knob, before, origin), *keys[1:])
        if knob.negated_key in before:
            text = config.without(text, knob.negated_key, origin)
    for key in keys:
        text = config.without(text, key, origin) if change.unset else _set(config, text, key, change, origin)
    for key, value in change.sets.items():
        text = config.with_value(text, key, value, origin)
    return text


def current(values: Mapping[str, KnobValue], change: Change) -> KnobValue | None:
    """What a configuration holds of the knob of a change, under any of its names; None when it holds nothing."""
    knob = _knob(change)
    names = (change.config_key, *(() if knob is None else knob.aliases), change.env)
    return next((values[name] for name in names if name is not None and name in values), None)


def means(change: Change, held: KnobValue, value: KnobValue) -> bool:
    """Whether what a configuration holds is the old or new (neutral) `value` of a change: "5m" is 300 seconds."""
    if agrees(held, change.written_old if value == change.old else change.written_new):
        return True
    knob = _knob(change)
    return knob is not None and knob.from_engine(held) == value


def moved_beside(values: Mapping[str, KnobValue], change: Change, *, later: bool) -> str:
    """What a change sets beside its knob and somebody has changed since the plan; empty when nothing.

    `later`: it may already be as the change wants it.
    """
    for key, old in change.sets_old.items():
        held = values.get(key)
        if held is not None and not agrees(held, old) and not (later and agrees(held, change.sets[key])):
            return key
    return ""


def as_it_was(change: Change) -> str:
    """Every line that a change writes, with its old value, for a person who puts them back by hand."""
    knob = _knob(change)
    left_out = knob is not None and knob.is_unset(change.old)
    lines = {change.config_key: None if left_out else change.written_old}
    lines |= {key: change.sets_old.get(key) for key in change.sets}
    return " and ".join(f"`{key}` as it was" if old is None else f"`{key}: {old}`" for key, old in lines.items())


def settings(text: str, origin: str) -> dict[str, object]:
    """The settings of a file of flags, as vLLM reads it, keys spelled with dashes. Raises as `YamlConfig.read`."""
    return _FLAGS.read(text, origin)


def with_value(text: str, key: str, value: KnobValue, origin: str) -> str:
    """A file of flags with `key` set to `value`. Raises as `YamlConfig.with_value`."""
    return _FLAGS.with_value(text, key, value, origin)


def _set(config: ConfigFormat, text: str, key: str, change: Change, origin: str) -> str:
    held = config.read(text, origin).get(key)
    if isinstance(held, str) and agrees(held, change.written_new):
        return text
    return config.with_value(text, key, change.written_new, origin)


def _keys(change: Change, knob: Knob | None, config: ConfigFormat, origin: str) -> tuple[str, ...]:
    if isinstance(config, EnvConfig):
        if change.env is None:
            raise ExecutorError(f"{origin}: {change.flag} has no variable, so an environment file cannot set it")
        return (change.env, *change.also)
    if knob.config_key is None if knob is not None else change.config_key in {change.env, change.flag}:
        raise ExecutorError(
            f"{origin}: {change.flag} is no option of a configuration file; where the engine has a variable for it, "
            "name an environment file (*.env) as config_file"
        )
    return (change.config_key,)


def _spelled(key: str, knob: Knob, values: Mapping[str, object], origin: str) -> str:
    """The name that the file has for a key."""
    if key != knob.config_key:
        return key
    there = [name for name in (key, *knob.aliases) if name in values]
    if len(there) > 1:
        raise ExecutorError(
            f"{origin}: `{there[0]}` and `{there[1]}` are the same option, so which one the engine uses is unclear: "
            "remove one"
        )
    return there[0] if there else key


def _knob(change: Change) -> Knob | None:
    try:
        return load(change.engine).get(change.knob)
    except NotFound:
        return None
