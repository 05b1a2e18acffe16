"""Changes one key of an engine's YAML configuration and leaves every other byte as it was.

PyYAML forgets comments and layout when it writes, so the value is replaced in the text, at the place where the parser
found it, and the result is parsed again: unless exactly that key differs, nothing is written. A key has dots between
its levels: `kv_cache_config.dtype`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from recommender.errors import ExecutorError
from recommender.executors import yaml_text
from recommender.executors.values import same
from recommender.executors.yaml_text import Entry
from recommender.model import KnobValue

_DEEPEST, _MOST = 20, 10_000  # levels and values of a file that somebody wrote; aliases can make more of both


@dataclass(frozen=True, slots=True)
class YamlConfig:
    """`dashes`: `max_num_seqs` is `max-num-seqs`, at the first level, as vLLM has it; else keys are as spelled."""

    dashes: bool = False

    def read(self, text: str, origin: str) -> dict[str, object]:
        """All values by key, dots between levels; lists stay lists. An empty file has none.

        Raises ExecutorError when it is not one YAML mapping with distinct keys; `origin` names it in the message.
        """
        loaded = _load(text, origin)
        result: dict[str, object] = {}
        for key, value in self._leaves(loaded, "", origin):
            if key in result:
                raise _twice(key, origin)
            if len(result) == _MOST:
                raise ExecutorError(f"{origin} holds more than {_MOST} values: not an engine's configuration")
            result[key] = value
        if twice := _listed_twice(_root(text), ""):
            raise _twice(twice, origin)
        return result

    def with_value(self, text: str, key: str, value: KnobValue, origin: str) -> str:
        """`text` with `key` set to `value`, added where it belongs when it is absent. Raises as `read` does."""
        before = self.read(text, origin)
        if key in before and same(before[key], value):
            return text
        after = self._set(text, key, value)
        landed = None if after is None else self._again(after, origin)
        if after is None or landed is None or not same(landed.get(key), value) or not _as_before(before, landed, key):
            where = f"below `{key.rpartition('.')[0]}`" if "." in key else "at the top level"
            raise ExecutorError(
                f"{origin}: `{key}` cannot be set without touching the rest of the file; "
                f"write it as a plain line `{key.rpartition('.')[2]}: <value>` {where}"
            )
        return after

    def without(self, text: str, key: str, origin: str) -> str:
        """`text` without `key` and all below it; unchanged when it is not there. Raises as `read` does."""
        before = self.read(text, origin)
        entry = self._find(_root(text), key.split("."))
        if entry is None:
            return text
        after = yaml_text.cut(text, entry)
        landed = None if after is None else self._again(after, origin)
        if after is None or landed is None or _at_or_below(landed, key) or not _as_before(before, landed, key):
            raise ExecutorError(
                f"{origin}: `{key}` cannot be left out without touching the rest of the file; remove it by hand"
            )
        return after

    def _leaves(self, values: Mapping[object, object], prefix: str, origin: str) -> Iterator[tuple[str, object]]:
        if prefix.count(".") > _DEEPEST:
            raise ExecutorError(f"{origin} has more than {_DEEPEST} levels: not an engine's configuration")
        for name, value in values.items():
            key = prefix + str(name) if prefix else self._spelled(str(name))
            if isinstance(value, dict):
                yield from self._leaves(value, f"{key}.", origin)
            else:
                yield key, value

    def _spelled(self, key: str) -> str:
        first, dot, rest = key.partition(".")
        return (first.replace("_", "-") if self.dashes else first) + dot + rest

    def _again(self, after: str, origin: str) -> dict[str, object] | None:
        try:
            return self.read(after, origin)
        except ExecutorError:
            return None

    def _set(self, text: str, key: str, value: KnobValue) -> str | None:
        """The text with the value at its place; None when there is no place that is safe to write to."""
        root, levels, rendered = _root(text), key.split("."), yaml_text.scalar(value)
        for depth in range(len(levels), 0, -1):
            entry = self._find(root, levels[:depth])
            if entry is None:
                continue
            if depth == len(levels):
                return None if isinstance(entry.value, yaml.MappingNode) else yaml_text.put(text, entry.value, rendered)
            if isinstance(entry.value, yaml.MappingNode):
                return yaml_text.insert(text, entry.value, levels[depth:], rendered)
            empty = entry.value.tag == "tag:yaml.org,2002:null"
            return yaml_text.put(text, entry.value, yaml_text.flow(levels[depth:], rendered)) if empty else None
        appended = yaml_text.append(text, levels, rendered)
        if self._again(appended, "") is None and isinstance(root, yaml.MappingNode):
            return yaml_text.insert(text, root, levels, rendered)  # `{a: 1}`, or a file that ends in `...`
        return appended

    def _find(self, node: yaml.Node | None, levels: list[str], *, top: bool = True) -> Entry | None:
        """The entry of a key; a name in the file may itself hold dots."""
        if not isinstance(node, yaml.MappingNode):
            return None
        for name, value in node.value:
            spelled = self._spelled(str(name.value)) if top else str(name.value)
            if spelled == ".".join(levels):
                return Entry(node, name, value)
            if len(levels) > 1 and spelled == levels[0]:
                deeper = self._find(value, levels[1:], top=False)
                if deeper is not None:
                    return deeper
        return None


def _load(text: str, origin: str) -> dict[object, object]:
    try:
        loaded = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:  # its text quotes the file, and a key of the engine may stand there
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ExecutorError(f"{origin}{line} is not valid YAML: {error.context or error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2024-13-99, that looks like a date
        raise ExecutorError(f"{origin} is not valid YAML ({type(error).__name__})") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ExecutorError(f"{origin} holds a {type(loaded).__name__}, not options as `name: value` lines")
    return loaded


def _root(text: str) -> yaml.Node | None:
    root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return root


def _listed_twice(node: yaml.Node | None, prefix: str) -> str:
    """The first key that one mapping has twice; the parser takes the last of them without a word."""
    if not isinstance(node, yaml.MappingNode) or prefix.count(".") > _DEEPEST:
        return ""
    seen: set[str] = set()
    for name, value in node.value:
        key = f"{prefix}{name.value}"
        if key in seen:
            return key
        seen.add(key)
        if deeper := _listed_twice(value, f"{key}."):
            return deeper
    return ""


def _twice(key: str, origin: str) -> ExecutorError:
    return ExecutorError(f"{origin}: `{key}` is there twice, so which one the engine uses is unclear: remove one")


def _at_or_below(values: Mapping[str, object], key: str) -> bool:
    return any(name == key or name.startswith(f"{key}.") for name in values)


def _as_before(before: Mapping[str, object], after: Mapping[str, object], key: str) -> bool:
    """Whether nothing but `key`, what is below it and empty levels above it differs."""
    return _others(before, key) == _others(after, key)


def _others(values: Mapping[str, object], key: str) -> dict[str, object]:
    return {
        name: value
        for name, value in values.items()
        if not (name == key or name.startswith(f"{key}.") or (value is None and key.startswith(f"{name}.")))
    }
