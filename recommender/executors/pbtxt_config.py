"""Changes one field of a model's config.pbtxt (Triton) and leaves every other byte as it was.

Keys have dots between levels: `max_batch_size`, `dynamic_batching.max_queue_delay_microseconds`. A parameter of the
backend is `parameters.<its key>`; its value is text, whatever it means. As with YAML the text is edited at the place
where the parser found the field, parsed again, and written only if exactly that key differs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from recommender.errors import ExecutorError
from recommender.executors.pbtxt_text import Field, Message, PbtxtError, Scalar, parse
from recommender.executors.values import same, written
from recommender.model import KnobValue

_MAP = "parameters"
_TEXT = "string_value"
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class PbtxtConfig:
    """A model configuration of Triton."""

    def read(self, text: str, origin: str) -> dict[str, object]:
        """All fields by key; one that is there several times is a list, one that is not understood None.

        Raises ExecutorError when it is no text of protocol buffers, and for a parameter that is there twice.
        """
        found: dict[str, object] = {}
        for key, value in _leaves(_parsed(text, origin), ""):
            if key in found:
                raise ExecutorError(f"{origin}: `{key}` is there twice, so which one counts is unclear: remove one")
            found[key] = value
        return found

    def with_value(self, text: str, key: str, value: KnobValue, origin: str) -> str:
        """`text` with `key` set to `value`, added where it belongs when it is absent. Raises as `read` does."""
        before = self.read(text, origin)
        wanted: KnobValue = written(value) if key.startswith(f"{_MAP}.") else value
        if key in before and same(before[key], wanted):
            return text
        held = before.get(key)
        if isinstance(held, str) and _PLACEHOLDER.search(held):
            raise ExecutorError(f"{origin}: `{key}` is {held}: a template, not what Triton reads; name the filled file")
        after = _set(text, _parsed(text, origin), key, wanted)
        landed = None if after is None else self._again(after, origin)
        if after is None or landed is None or not same(landed.get(key), wanted) or not _as_before(before, landed, key):
            raise ExecutorError(
                f"{origin}: `{key}` cannot be set without touching the rest of the file, or without switching on what "
                "is around it; write it there once, by hand"
            )
        return after

    def without(self, text: str, key: str, origin: str) -> str:
        """`text` without the field of `key`; unchanged when it is not there. Raises as `read` does."""
        before = self.read(text, origin)
        if key not in before:
            return text
        field = _only(_parsed(text, origin), key)
        after = None if field is None else _cut(text, field)
        landed = None if after is None else self._again(after, origin)
        if after is None or landed is None or key in landed or not _as_before(before, landed, key):
            raise ExecutorError(f"{origin}: `{key}` cannot be left out without touching the rest; remove it by hand")
        return after

    def _again(self, after: str, origin: str) -> dict[str, object] | None:
        try:
            return self.read(after, origin)
        except ExecutorError:
            return None


def _parsed(text: str, origin: str) -> Message:
    try:
        return parse(text)
    except PbtxtError as error:
        raise ExecutorError(f"{origin}, line {error.line} is no text of protocol buffers: {error}") from None


def _leaves(message: Message, prefix: str) -> Iterator[tuple[str, object]]:
    for name in dict.fromkeys(field.name for field in message.fields):
        fields = message.named(name)
        values = [value for field in fields for value in field.values]
        only = values[0] if len(values) == 1 and not fields[0].listed else None
        if not prefix and name == _MAP and all(isinstance(value, Message) for value in values):
            yield from (_parameter(value) for value in values if isinstance(value, Message))
        elif isinstance(only, Message):
            yield from _leaves(only, f"{prefix}{name}.")
        elif isinstance(only, Scalar):
            yield f"{prefix}{name}", only.value
        else:
            yield f"{prefix}{name}", [value.value if isinstance(value, Scalar) else None for value in values]


def _parameter(entry: Message) -> tuple[str, object]:
    """Key and text of one entry of the map; None for a value that is no text."""
    name, held = _scalar(entry, "key"), _value(entry)
    return f"{_MAP}.{'' if name is None else name.value}", None if held is None else held.value


def _value(entry: Message) -> Scalar | None:
    """The text of an entry, when that is all it has."""
    fields = entry.named("value")
    inner = fields[0].values[0] if len(fields) == 1 and len(fields[0].values) == 1 else None
    plain = {each.name for each in entry.fields} == {"key", "value"}
    if not plain or not isinstance(inner, Message) or len(inner.fields) != 1:
        return None
    return _scalar(inner, _TEXT)


def _scalar(message: Message, name: str) -> Scalar | None:
    """The one plain value of a field that is there once."""
    fields = message.named(name)
    only = fields[0].values[0] if len(fields) == 1 and len(fields[0].values) == 1 and not fields[0].listed else None
    return only if isinstance(only, Scalar) else None


def _entry(message: Message, name: str) -> tuple[Field, Message] | None:
    """A parameter's field and message."""
    for field in message.named(_MAP):
        for value in field.values:
            if isinstance(value, Message) and _parameter(value)[0] == f"{_MAP}.{name}":
                return field, value
    return None


def _only(message: Message, key: str) -> Field | None:
    """The field of a key, where it is there once and by itself."""
    first, _, rest = key.partition(".")
    if first == _MAP and rest:
        entry = _entry(message, rest)
        return None if entry is None or entry[0].listed else entry[0]
    fields = message.named(first)
    if len(fields) != 1 or fields[0].listed:
        return None
    inner = fields[0].values[0]
    if not rest:
        return fields[0] if isinstance(inner, Scalar) else None
    return _only(inner, rest) if isinstance(inner, Message) else None


def _set(text: str, file: Message, key: str, value: KnobValue) -> str | None:
    """The text with the value at its place; None where there is none that is safe to write to."""
    first, _, rest = key.partition(".")
    if first == _MAP and rest:
        return _set_parameter(text, file, rest, written(value))
    return _set_field(text, file, key.split("."), value, top=True)


def _set_parameter(text: str, file: Message, name: str, value: str) -> str | None:
    entry = _entry(file, name)
    if entry is not None:
        held = _value(entry[1])
        return None if held is None or not held.quoted else text[: held.start] + _quoted(value) + text[held.end :]
    lines = (f"{_MAP} {{", f"  key: {_quoted(name)}", "  value: {", f"    {_TEXT}: {_quoted(value)}", "  }", "}")
    return _appended(text, lines)


def _set_field(text: str, message: Message, levels: list[str], value: KnobValue, *, top: bool) -> str | None:
    fields = message.named(levels[0])
    if not fields and len(levels) == 1:
        line = f"{levels[0]}: {_quoted(value) if isinstance(value, str) else written(value)}"
        return _appended(text, (line,)) if top else _inserted(text, message, line)
    if len(fields) != 1 or fields[0].listed:
        return None
    inner = fields[0].values[0]
    if len(levels) > 1:
        return _set_field(text, inner, levels[1:], value, top=False) if isinstance(inner, Message) else None
    if not isinstance(inner, Scalar) or inner.quoted is not isinstance(value, str):
        is_word = isinstance(inner, Scalar) and isinstance(inner.value, str) and isinstance(value, str)
        if not is_word or not isinstance(inner, Scalar) or not _WORD.fullmatch(str(value)):
            return None
        return text[: inner.start] + str(value) + text[inner.end :]
    return text[: inner.start] + (_quoted(value) if isinstance(value, str) else written(value)) + text[inner.end :]


def _appended(text: str, lines: tuple[str, ...]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    separator = newline if text and not text.endswith("\n") else ""
    return text + separator + "".join(f"{line}{newline}" for line in lines)


def _inserted(text: str, message: Message, line: str) -> str:
    """A field before the closing brace of a message: on a line of its own where the brace has one."""
    begin = text.rfind("\n", 0, message.end) + 1
    if text[begin : message.end].strip() or begin <= message.start:
        gap = "" if text[: message.end].endswith((" ", "\t")) else " "
        return f"{text[: message.end]}{gap}{line} {text[message.end :]}"
    first = message.fields[0] if message.fields else None
    own = None if first is None else text[text.rfind("\n", 0, first.start) + 1 : first.start]
    indent = own if own is not None and not own.strip() else text[begin : message.end] + "  "
    newline = "\r\n" if "\r\n" in text else "\n"
    return f"{text[:begin]}{indent}{line}{newline}{text[begin:]}"


def _cut(text: str, field: Field) -> str:
    """The text without a field, and without its lines where nothing else is on them."""
    begin, after = text.rfind("\n", 0, field.start) + 1, text.find("\n", field.end)
    end = len(text) if after < 0 else after + 1
    if text[begin : field.start].strip() or text[field.end : end].strip():
        return text[: field.start] + text[field.end :]
    return text[:begin] + text[end:]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\{ord(one):03o}" if ord(one) < ord(" ") or one == "\x7f" else one for one in escaped) + '"'


def _as_before(before: Mapping[str, object], after: Mapping[str, object], key: str) -> bool:
    def others(values: Mapping[str, object]) -> dict[str, object]:
        return {name: value for name, value in values.items() if name != key}

    return others(before) == others(after)
