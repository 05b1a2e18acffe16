"""Edits of YAML text at the places where the parser found its nodes; None where an edit is not surely right.

Callers parse the result again and compare: what is wrong here is refused there.
"""

import math
from dataclasses import dataclass

import yaml

from recommender.model import KnobValue

_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with its value."""

    mapping: yaml.MappingNode
    key: yaml.Node
    value: yaml.Node


def scalar(value: KnobValue) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()


def put(text: str, node: yaml.Node, rendered: str) -> str:
    """`rendered` in the place of `node`."""
    start, end = node.start_mark.index, node.end_mark.index
    gap = " " if start == end else ""  # `key:` without a value
    return text[:start] + gap + rendered + text[end:]


def flow(levels: list[str], rendered: str) -> str:
    """`{a: {b: rendered}}`."""
    for level in reversed(levels):
        rendered = f"{{{level}: {rendered}}}"
    return rendered


def append(text: str, levels: list[str], rendered: str) -> str:
    """A new key at the end of the file."""
    newline = _newline(text)
    separator = newline if text and not text.endswith("\n") else ""
    return f"{text}{separator}{_lines(levels, rendered, 0, newline)}"


def insert(text: str, mapping: yaml.MappingNode, levels: list[str], rendered: str) -> str | None:
    """A new key in a mapping that is there."""
    if mapping.flow_style:
        return _insert_flow(text, mapping, levels, rendered)
    first, last = mapping.value[0][0], mapping.value[-1][1]
    column, newline = first.start_mark.column, _newline(text)
    new = _lines(levels, rendered, column, newline)
    begin = _line_start(text, first)
    if begin is None:
        return None
    if not isinstance(last, yaml.ScalarNode) or last.style in {"|", ">"} or last.start_mark.index < begin:
        return text[:begin] + new + text[begin:]
    after = text.find("\n", last.end_mark.index)
    return f"{text}{newline}{new}" if after < 0 else text[: after + 1] + new + text[after + 1 :]


def cut(text: str, entry: Entry) -> str | None:
    """The text without the lines of an entry."""
    begin = None if entry.mapping.flow_style else _line_start(text, entry.key)
    if begin is None:
        return None
    end = max(_end(text, entry.value), entry.key.end_mark.index)
    if entry.value.start_mark.index < begin:  # an alias: its value stands elsewhere
        end = entry.key.end_mark.index
    after = text.find("\n", end)
    return text[:begin] + ("" if after < 0 else text[after + 1 :])


def _insert_flow(text: str, mapping: yaml.MappingNode, levels: list[str], rendered: str) -> str:
    inner = flow(levels, rendered)
    if not mapping.value:
        return put(text, mapping, inner)
    at = mapping.value[0][0].start_mark.index
    return f"{text[:at]}{inner[1:-1]}, {text[at:]}"


def _end(text: str, node: yaml.Node) -> int:
    """Where the last character of a node is; the parser's own mark is behind comments that follow a block."""
    if isinstance(node, yaml.ScalarNode):
        return len(text[: node.end_mark.index].rstrip()) if node.style in {"|", ">"} else int(node.end_mark.index)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        children = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        return max((_end(text, child) for child in children), default=int(node.start_mark.index))
    return int(node.end_mark.index)


def _line_start(text: str, node: yaml.Node) -> int | None:
    """Where the line of a node begins; None when something else stands before it on its line."""
    begin = text.rfind("\n", 0, node.start_mark.index) + 1
    return begin if not text[begin : node.start_mark.index].strip() else None


def _lines(levels: list[str], rendered: str, column: int, newline: str) -> str:
    lines = [f"{' ' * column}{_INDENT * depth}{level}:" for depth, level in enumerate(levels)]
    return newline.join(lines) + f" {rendered}{newline}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
