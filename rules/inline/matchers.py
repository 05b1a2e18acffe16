"""Matchers on what was no selector before: known labels are judged here, all others by the server."""

import re
from collections.abc import Mapping, Sequence

from rules.inline.piece import Piece

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = {"n": "\n", "r": "\r", "t": "\t"}

Matcher = tuple[str, str, str]
"""(label, operator, value), the value escaped as between double quotes."""


def decide(matchers: Sequence[Matcher], known: Mapping[str, str]) -> tuple[Matcher, ...] | None:
    """The matchers on labels that are not known; None when a known label does not match.

    `known` are values as they are, not escaped.
    """
    left: list[Matcher] = []
    for label, operator, value in matchers:
        if label not in known:
            left.append((label, operator, value))
        elif not matches(known[label], operator, value):
            return None
    return tuple(left)


def matches(actual: str, operator: str, value: str) -> bool:
    """Whether a label with the value `actual` passes; regular expressions are anchored, as PromQL's are."""
    value = _ESCAPE.sub(lambda found: _SPECIAL.get(found[1], found[1]), value)
    if operator in ("=", "!="):
        return (actual == value) is (operator == "=")
    return (re.fullmatch(value, actual) is not None) is (operator == "=~")


def filtered(piece: Piece, matchers: Sequence[Matcher]) -> Piece:
    """Only the series of an expression that the matchers let through.

    PromQL has matchers for selectors alone. Equality is a join with one series that has the value (or lacks the label);
    a regular expression marks what it matches with a label, joins on that, and takes it off again.
    """
    for label, operator, value in matchers:
        keep = "and" if operator in ("=", "=~") else "unless"
        if operator in ("=", "!="):
            text = f"{piece.operand} {keep} on ({label}) {_one(label, value)}"
        else:
            marked = f'label_replace({piece.text},"matched","yes","{label}","{value}")'
            text = f'label_replace({marked} {keep} on (matched) {_one("matched", "yes")},"matched","","","")'
        piece = Piece(text, piece.steps, binds=operator in ("=", "!="))
    return piece


def _one(label: str, value: str) -> str:
    escaped = value.replace("$", "$$")  # a replacement expands what begins with it
    return f'label_replace(vector(0),"{label}","{escaped}","","")' if value else "vector(0)"
