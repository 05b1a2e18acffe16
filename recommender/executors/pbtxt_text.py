"""Text of protocol buffers, as Triton's config.pbtxt is: where each field stands, so that one can be edited.

Read is what its specification allows: comments, `name: value`, `name { … }` and `name: < … >`, lists in brackets, `,`
or `;` behind a field, strings in either quotes and in several pieces. Extensions (`[name]: …`) are refused.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r\n\f\v]|\#[^\n]*)+)
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?![A-Za-z0-9_.]))
    |(?P<mark>[-:,;{}<>\[\]])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:([abfnrtv?'\"\\])|([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DEEPEST, _MOST = 20, 50_000  # levels and tokens of a file that somebody wrote
_LONGEST_NUMBER = 40
_CLOSING = {"{": "}", "<": ">"}


class PbtxtError(ValueError):
    """The text is none; `line` counts from 1."""

    def __init__(self, text: str, line: int) -> None:
        self.line = line
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value from `start` to `end`. `value` is text for words and strings; None: one that is not understood."""

    start: int
    end: int
    value: bool | int | float | str | None
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """Fields between braces, or the whole file. `end` is where the closing brace is."""

    start: int
    end: int
    fields: "list[Field]" = field(default_factory=list)

    def named(self, name: str) -> "list[Field]":
        """All fields of this name."""
        return [each for each in self.fields if each.name == name]


@dataclass(frozen=True, slots=True)
class Field:
    """`name` with what stands behind it; several values are a list in brackets. `listed`: it is one, of any length."""

    start: int
    end: int
    name: str
    values: "list[Scalar | Message]"
    listed: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse(text: str) -> Message:
    """The whole file. Raises PbtxtError."""
    return _Reader(text).file()


def unquoted(piece: str) -> str | None:
    """What a string between its quotes means; None for escapes that are none, or bytes that are no text."""
    body, found, at = piece[1:-1], bytearray(), 0
    while at < len(body):
        if body[at] != "\\":
            found += body[at].encode()
            at += 1
            continue
        match = _ESCAPE.match(body, at)
        if match is None:
            return None
        simple, octal, short, *wide = match.groups()
        try:
            if simple is not None:
                found += _ESCAPED.get(simple, simple).encode()
            elif octal is not None or short is not None:
                found.append(int(octal, 8) if octal is not None else int(short, 16))
            else:
                found += chr(int(wide[0] or wide[1], 16)).encode()
        except (ValueError, OverflowError):  # an octal above a byte, a code that is no character
            return None
        at = match.end()
    try:
        return found.decode()
    except UnicodeDecodeError:
        return None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._next = 0

    def file(self) -> Message:
        return Message(0, len(self._text), self._fields("", 0))

    def _scan(self) -> Iterator[_Token]:
        at = count = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise self._wrong(at, f"{self._text[at]!r} is not expected here")
            kind = str(match.lastgroup)
            if kind != "space":
                count += 1
                yield _Token(kind, match.group(), at, match.end())
            if count > _MOST:
                raise self._wrong(at, f"more than {_MOST} words: not a model's configuration")
            at = match.end()

    def _fields(self, closing: str, depth: int) -> list[Field]:
        """Fields up to the closing mark, which is taken; "" closes at the end of the text."""
        if depth > _DEEPEST:
            raise self._wrong(self._at(), f"more than {_DEEPEST} levels: not a model's configuration")
        found: list[Field] = []
        while (token := self._peek()) is not None and token.text != closing:
            found.append(self._field(depth))
        if closing:
            self._take(closing)
        return found

    def _field(self, depth: int) -> Field:
        name = self._pop()
        if name.kind != "word":
            raise self._wrong(name.start, f"a field's name is expected, not {name.text[:20]!r}")
        colon = self._skip(":")
        opened = self._peek()
        listed = opened is not None and opened.text == "["
        if not colon and (opened is None or opened.text not in {"{", "<", "["}):
            raise self._wrong(name.end, f"':' is missing behind {name.text[:40]!r}")
        values = self._list(depth) if listed else [self._value(depth)]
        if not colon and any(isinstance(value, Scalar) for value in values):
            raise self._wrong(name.end, f"':' is missing behind {name.text[:40]!r}")
        end = self._tokens[self._next - 1].end
        if self._skip(",") or self._skip(";"):
            end = self._tokens[self._next - 1].end
        return Field(name.start, end, name.text, values, listed)

    def _list(self, depth: int) -> "list[Scalar | Message]":
        self._take("[")
        found: list[Scalar | Message] = []
        while (token := self._peek()) is not None and token.text != "]":
            found.append(self._value(depth))
            if not self._skip(","):
                break
        self._take("]")
        return found

    def _value(self, depth: int) -> Scalar | Message:
        token = self._pop()
        if token.text in _CLOSING:
            fields = self._fields(_CLOSING[token.text], depth + 1)
            return Message(token.start, self._tokens[self._next - 1].start, fields)
        if token.kind == "string":
            return self._string(token)
        sign = ""
        first = token
        if token.text == "-":
            sign, token = "-", self._pop()
        if token.kind == "number":
            return Scalar(first.start, token.end, _number(sign + token.text))
        if token.kind == "word":
            word = sign + token.text
            known = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
            return Scalar(first.start, token.end, known.get(word, word))
        raise self._wrong(token.start, f"a value is expected, not {token.text[:20]!r}")

    def _string(self, first: _Token) -> Scalar:
        """One or more pieces, which are one string."""
        pieces, last = [unquoted(first.text)], first
        while (token := self._peek()) is not None and token.kind == "string":
            last = self._pop()
            pieces.append(unquoted(last.text))
        known = [piece for piece in pieces if piece is not None]
        value = "".join(known) if len(known) == len(pieces) else None
        return Scalar(first.start, last.end, value, quoted=True)

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _pop(self) -> _Token:
        token = self._peek()
        if token is None:
            raise self._wrong(len(self._text), "the file ends within a field")
        self._next += 1
        return token

    def _skip(self, mark: str) -> bool:
        token = self._peek()
        found = token is not None and token.kind == "mark" and token.text == mark
        self._next += found
        return found

    def _take(self, mark: str) -> None:
        token = self._pop()
        if token.text != mark:
            raise self._wrong(token.start, f"{mark!r} is expected, not {token.text[:20]!r}")

    def _at(self) -> int:
        token = self._peek()
        return len(self._text) if token is None else token.start

    def _wrong(self, at: int, text: str) -> PbtxtError:
        return PbtxtError(text, self._text.count("\n", 0, at) + 1)


def _number(text: str) -> int | float | None:
    if len(text) > _LONGEST_NUMBER:
        return None
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if digits[:2].lower() == "0x":
        return sign * int(digits, 16)
    if len(digits) > 1 and digits.isdecimal() and digits.startswith("0"):
        return sign * int(digits, 8) if not set(digits) & set("89") else None
    if digits.isdecimal():
        return sign * int(digits)
    number = sign * float(digits.rstrip("fF"))
    return number if math.isfinite(number) else None
