"""Changes one line of an environment file (`KEY=value`) and leaves every other byte as it was.

systemd, Docker, Compose and shells read such files each in their own way. What they agree on is written: a value of
plain characters, without quotes unless the old one had them. What they do not agree on is refused where it matters: a
value over several lines, and a comment behind a value that is to be changed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from recommender.errors import ExecutorError
from recommender.executors.values import written
from recommender.model import KnobValue

_LINE = re.compile(
    r"(?P<head>[ \t]*(?:export[ \t]+)?)(?P<key>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>[^\r\n]*)(?P<end>\r?\n?)"
)
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/+@%=-]*")  # read alike by all of them


@dataclass(frozen=True, slots=True)
class _Line:
    """One line; `key` is empty for a comment or a blank."""

    text: str
    key: str = ""
    head: str = ""
    raw: str = ""
    quote: str = ""
    value: str | None = None  # None: not read alike by all
    end: str = ""


@dataclass(frozen=True, slots=True)
class EnvConfig:
    """An environment file."""

    def read(self, text: str, origin: str) -> dict[str, object]:
        """All values by variable, as text; one that is not read alike everywhere is None.

        Raises ExecutorError for a line that is no assignment, a value over several lines, and a variable that is
        there twice; `origin` names the file.
        """
        return {line.key: line.value for line in _lines(text, origin) if line.key}

    def with_value(self, text: str, key: str, value: KnobValue, origin: str) -> str:
        """`text` with `key` set to `value`, added at the end when it is absent. Raises as `read` does."""
        new = written(value)
        if not _PLAIN.fullmatch(new):
            raise ExecutorError(
                f"{origin}: a value of `{key}` with other than plain characters would be read differently by systemd, "
                "Docker and shells; write it by hand"
            )
        lines = list(_lines(text, origin))
        place = next((index for index, line in enumerate(lines) if line.key == key), None)
        if place is None:
            newline = "\r\n" if "\r\n" in text else "\n"
            separator = newline if text and not text.endswith("\n") else ""
            # A shell reads a file with `export` in it, and passes on what is exported alone.
            head = "export " if any("export" in line.head for line in lines) else ""
            return f"{text}{separator}{head}{key}={new}{newline}"
        line = lines[place]
        if line.value is None:
            raise ExecutorError(
                f"{origin}, line {place + 1}: what follows `{key}=` is not read alike by systemd, Docker and shells; "
                "write a plain value, and a comment on a line of its own"
            )
        if line.value == new:
            return text
        trailing = line.raw[len(line.raw.rstrip(" \t")) :]
        changed = f"{line.head}{key}={line.quote}{new}{line.quote}{trailing}{line.end}"
        return "".join(changed if index == place else each.text for index, each in enumerate(lines))

    def without(self, text: str, key: str, origin: str) -> str:
        """`text` without the line of `key`; unchanged when there is none. Raises as `read` does."""
        return "".join(line.text for line in _lines(text, origin) if line.key != key)


def _lines(text: str, origin: str) -> Iterator[_Line]:
    seen: set[str] = set()
    for number, raw in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        if not raw.strip() or raw.lstrip()[0] in "#;":
            yield _Line(raw)
            continue
        match = _LINE.fullmatch(raw)
        if match is None:
            raise ExecutorError(f"{origin}, line {number} is neither `KEY=value` nor a comment")
        line = _read(raw, match)
        if line.value is None and _goes_on(line.raw):
            raise ExecutorError(f"{origin}, line {number}: the value of `{line.key}` goes on over the end of its line")
        if line.key in seen:
            raise ExecutorError(
                f"{origin}: `{line.key}` is there twice, so which one the engine uses is unclear: remove one"
            )
        seen.add(line.key)
        yield line


def _read(text: str, match: re.Match[str]) -> _Line:
    raw = match["value"]
    body = raw.strip(" \t")
    quote = body[0] if len(body) > 1 and body[0] in "'\"" and body[-1] == body[0] else ""
    inside = body[1:-1] if quote else body
    alike = _PLAIN.fullmatch(inside) is not None or (bool(quote) and not set(inside) & set("'\"\\$`"))
    alike = alike and not raw.startswith((" ", "\t"))
    return _Line(text, match["key"], match["head"], raw, quote, inside if alike else None, match["end"])


def _goes_on(raw: str) -> bool:
    """Whether a value ends in a backslash, or opens a quote that it does not close."""
    if raw.rstrip(" \t").endswith("\\"):
        return True
    opened = ""
    escaped = False
    for character in raw:
        if escaped:
            escaped = False
        elif character == "\\" and opened != "'":
            escaped = True
        elif opened:
            opened = "" if character == opened else opened
        elif character in "'\"":
            opened = character
    return bool(opened)
