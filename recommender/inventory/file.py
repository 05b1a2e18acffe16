"""Reads `inventory.yml` and names file, line and mend of whatever is wrong in it."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from recommender.errors import ConfigError
from recommender.inventory.base import InventoryProblems, Path
from recommender.inventory.model import Inventory


@dataclass(slots=True)
class _Lines:
    """Plain data of a YAML document and the line of each entry."""

    file: str
    lines: dict[Path, int] = field(default_factory=dict)

    def of(self, path: Path) -> int:
        """The line of `path`, or of the nearest entry around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, path: Path, text: str) -> str:
        """One finding, as a person reads it."""
        return f"{self.file} line {self.of(path)}: {text}"


def load_inventory(path: FilePath | None) -> Inventory:
    """The inventory in `path`; an empty one when `path` is None. Raises ConfigError with one line a finding."""
    if path is None:
        return Inventory()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        how = "name your file with --inventory or OPTIINFRA_INVENTORY"
        raise ConfigError(f"cannot read the inventory {path}: {reason}; {how}") from exc
    return parse_inventory(text, path.name)


def parse_inventory(text: str, file: str = "inventory.yml") -> Inventory:
    """The inventory in `text`; `file` is the name that errors carry."""
    lines = _Lines(file)
    data = _read(text, lines)
    if not isinstance(data, dict | None):
        raise ConfigError(f"{file} line 1: the file must be a mapping; start it with 'services:'")
    try:
        return Inventory.model_validate(data or {})
    except ValidationError as exc:
        findings = [finding for error in exc.errors() for finding in _findings(error, lines)]
        raise ConfigError("\n".join(dict.fromkeys(findings))) from exc


def _read(text: str, lines: _Lines) -> object:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _plain(loader, node, (), lines, frozenset())
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ConfigError(f"{lines.file} line {line}: not valid YAML: {exc.problem or exc}") from exc
    except (yaml.YAMLError, ValueError) as exc:  # ValueError: e.g. the scalar 2024-13-99, that only looks like a date
        raise ConfigError(f"{lines.file}: not valid YAML: {exc}") from exc
    finally:
        loader.dispose()


def _plain(loader: yaml.SafeLoader, node: yaml.Node, path: Path, lines: _Lines, parents: frozenset[int]) -> object:
    """`node` as dicts, lists and scalars, noting the line of each entry."""
    if id(node) in parents:
        raise ConfigError(lines.error(path, "an alias contains itself; write the entry out"))
    inside = parents | {id(node)}
    if isinstance(node, yaml.MappingNode):
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            entry = (*path, key)
            if key in result:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"{lines.file} line {line}: '{_dotted(entry)}' is already on line {lines.of(entry)}")
            lines.lines[entry] = key_node.start_mark.line + 1
            result[key] = _plain(loader, value_node, entry, lines, inside)
        return result
    if isinstance(node, yaml.SequenceNode):
        items: list[object] = []
        for index, item in enumerate(node.value):
            lines.lines[(*path, index)] = item.start_mark.line + 1
            items.append(_plain(loader, item, (*path, index), lines, inside))
        return items
    value: object = loader.construct_object(node)
    return value


def _findings(error: ErrorDetails, lines: _Lines) -> list[str]:
    path = tuple(part for part in error["loc"] if part != "[key]")
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, InventoryProblems):
        return [lines.error(where, text) for where, text in cause.problems]
    if error["type"] == "extra_forbidden":
        return [lines.error(path, _unknown_key(path))]
    if error["type"] == "missing":
        return [lines.error(path[:-1], f"{_dotted(path[:-1])} needs '{path[-1]}'")]
    if error["loc"] and error["loc"][-1] == "[key]":
        return [lines.error(path, f"'{path[-1]}' is no name; use letters, digits, '.', '_' and '-', at most 100")]
    message = str(cause) if cause is not None else error["msg"]
    given = error["input"]
    shown = f" (not {given!r})" if isinstance(given, str | int | float | bool) and cause is None else ""
    return [lines.error(path, f"{_dotted(path)}: {message}{shown}")]


def _unknown_key(path: Path) -> str:
    key, where = str(path[-1]), _dotted(path[:-1])
    legal = _legal_keys(Inventory, path[:-1])
    close = difflib.get_close_matches(key, legal, n=1, cutoff=0.5)
    mend = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(legal)}"
    return f"unknown key '{key}'{f' in {where}' if where else ''}; {mend}"


def _legal_keys(annotation: Any, path: Path) -> list[str]:  # noqa: ANN401 - a type annotation has no narrower type
    """Field names of the model that `path` leads to, through dicts, tuples and optional fields."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        return next((keys for arg in get_args(annotation) if (keys := _legal_keys(arg, path))), [])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return [entry.alias or name for name, entry in annotation.model_fields.items()]
        fields = {entry.alias or name: entry for name, entry in annotation.model_fields.items()}
        entry = fields.get(str(path[0]))
        return [] if entry is None else _legal_keys(entry.annotation, path[1:])
    if origin is dict and path:
        return _legal_keys(get_args(annotation)[1], path[1:])
    if origin is tuple and path:
        return _legal_keys(get_args(annotation)[0], path[1:])
    return []


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text
