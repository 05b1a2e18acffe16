"""Changes one top-level key of an engine's YAML configuration and leaves every other byte as it was.

PyYAML forgets comments and layout when it writes, so the value is replaced in the text, at the place where the parser
found it, and the result is parsed again: unless exactly that key differs, nothing is written.
vLLM takes `max-num-seqs` and `max_num_seqs` for the same option; so do we, and the file's spelling is kept.
"""

import math
from collections.abc import Mapping

import yaml

from recommender.errors import ExecutorError
from recommender.model import KnobValue


def settings(text: str, origin: str) -> dict[str, object]:
    """The file's top level, keys spelled with dashes. An empty file has no settings.

    Raises ExecutorError when it is not one YAML mapping with distinct keys; `origin` names it in the message.
    """
    result: dict[str, object] = {}
    for key, value in _load(text, origin).items():
        if (name := _dashed(key)) in result:
            raise ExecutorError(
                f"{origin}: `{name}` is there twice, so which one the engine uses is unclear: remove one"
            )
        result[name] = value
    return result


def with_value(text: str, key: str, value: KnobValue, origin: str) -> str:
    """`text` with `key` set to `value`, added at the end when it is absent. Raises ExecutorError as `settings` does."""
    before = settings(text, origin)
    if key in before and same(before[key], value):
        return text
    rendered = yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()
    node = _value_node(text, key)
    if node is None:
        newline = "\r\n" if "\r\n" in text else "\n"
        separator = newline if text and not text.endswith("\n") else ""
        after = f"{text}{separator}{key}: {rendered}{newline}"
    else:
        start, end = node.start_mark.index, node.end_mark.index
        gap = " " if start == end else ""  # `key:` without a value
        after = text[:start] + gap + rendered + text[end:]
    try:
        landed = settings(after, origin)
    except ExecutorError:
        landed = {}
    if (
        landed.keys() != before.keys() | {key}
        or not same(landed[key], value)
        or _others(landed, key) != _others(before, key)
    ):
        raise ExecutorError(
            f"{origin}: `{key}` cannot be set without touching the rest of the file; "
            f"write it as a plain line `{key}: <value>` at the top level"
        )
    return after


def same(current: object, wanted: object) -> bool:
    """Equality of two settings: 8 is 8.0, but true is not 1."""
    return isinstance(current, bool) is isinstance(wanted, bool) and current == wanted


def scalars(values: Mapping[str, object]) -> dict[str, KnobValue]:
    """The settings that a knob can have; lists, mappings and nulls left out."""
    return {key: value for key, value in values.items() if isinstance(value, bool | int | float | str)}


def _load(text: str, origin: str) -> dict[object, object]:
    try:
        loaded = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:  # its text quotes the file, and a key of the engine may stand there
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ExecutorError(f"{origin}{line} is not valid YAML: {error.context or error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: the scalar 2024-13-99, that only looks like a date
        raise ExecutorError(f"{origin} is not valid YAML ({type(error).__name__})") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ExecutorError(f"{origin} holds a {type(loaded).__name__}, not options as `name: value` lines")
    return loaded


def _value_node(text: str, key: str) -> yaml.Node | None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return None
    return next((value for name, value in root.value if _dashed(name.value) == key), None)


def _dashed(key: object) -> str:
    return str(key).replace("_", "-")


def _others(values: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in values.items() if name != key}
