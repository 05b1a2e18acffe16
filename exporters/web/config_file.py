"""Reads a web configuration file and names file, line and mend of whatever is wrong in it."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporters.errors import WebConfigError
from exporters.web.config import FOLDER, HttpServerConfig, Section, TlsServerConfig, WebConfig

_Where: TypeAlias = tuple[str | int, ...]

_SECTIONS: Mapping[_Where, type[Section]] = MappingProxyType(
    {(): WebConfig, ("tls_server_config",): TlsServerConfig, ("http_server_config",): HttpServerConfig}
)


def read_web_config(path: Path) -> WebConfig:
    """Read `path`; relative paths in it start from its folder. Raises WebConfigError with one line a finding."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise WebConfigError(f"--web-config-file: cannot read {path}: {why}") from error
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        lines = _lines(node, path)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise WebConfigError(f"{path} line {line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a scalar that only looks like a date
        raise WebConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict | None):
        raise WebConfigError(
            f"{path} line 1: the file must be a mapping; known keys: {', '.join(WebConfig.model_fields)}"
        )
    try:
        return WebConfig.model_validate(data or {}, context={FOLDER: path.absolute().parent})
    except ValidationError as error:
        raise WebConfigError("\n".join(_finding(path, lines, each) for each in error.errors())) from error


def _lines(node: yaml.Node | None, path: Path, where: _Where = ()) -> dict[_Where, int]:
    """Line of each entry. Raises WebConfigError for a key that is there twice: YAML would take the last in silence."""
    lines: dict[_Where, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            entry = (*where, str(key.value))
            line = key.start_mark.line + 1
            if entry in lines:
                raise WebConfigError(f"{path} line {line}: {_dotted(entry)} is already on line {lines[entry]}")
            lines |= {entry: line, **_lines(value, path, entry)}
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines |= {(*where, index): item.start_mark.line + 1, **_lines(item, path, (*where, index))}
    return lines


def _finding(path: Path, lines: dict[_Where, int], error: ErrorDetails) -> str:
    where: _Where = tuple(part for part in error["loc"] if part != "[key]")
    known = where
    while known and known not in lines:
        known = known[:-1]
    return f"{path} line {lines.get(known, 1)}: {_sentence(where, error)}"


def _sentence(where: _Where, error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(where)
    if error["type"] == "missing":
        return f"{_dotted(where[:-1])} needs {where[-1]}"
    cause = error.get("ctx", {}).get("error")
    return f"{_dotted(where)}: {cause or error['msg']}"


def _unknown_key(where: _Where) -> str:
    *inside, key = map(str, where)
    section = _SECTIONS[tuple(inside)]
    place = f" in {_dotted(inside)}" if inside else ""
    if key in section.unsupported:
        return f"{key}{place} is not supported: {section.unsupported[key]}"
    close = difflib.get_close_matches(key, section.model_fields, n=1, cutoff=0.5)
    mend = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(section.model_fields)}"
    return f"unknown key {key}{place}; {mend}"


def _dotted(where: tuple[str | int, ...] | list[str]) -> str:
    return ".".join(map(str, where)) or "the file"
