"""Reads a YAML file into its model, and names file, line and mend of whatever is wrong in it."""

import difflib
from collections.abc import Iterator, Mapping
from types import MappingProxyType, UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from exporters.errors import ConfigFileError

_Where: TypeAlias = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)

# What Pydantic says of a value, as a person would; `{…}` are of its context.
_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "enum": "expected {expected}",
        "greater_than": "must be more than {gt:g}",
        "greater_than_equal": "must be {ge:g} or more",
        "less_than": "must be less than {lt:g}",
        "less_than_equal": "must be {le:g} or less",
        "string_too_short": "needs at least {min_length} characters",
        "string_too_long": "has more than {max_length} characters",
        "too_short": "needs at least {min_length} of them",
        "too_long": "has more than {max_length} entries",
        "int_type": "expected a whole number",
        "int_parsing": "expected a whole number",
        "int_from_float": "expected a whole number",
        "float_type": "expected a number",
        "float_parsing": "expected a number",
        "finite_number": "expected a finite number",
        "bool_type": "expected true or false",
        "bool_parsing": "expected true or false",
        "string_type": "expected a text; put it in quotes",
        "path_type": "expected the path of a file",
        "dict_type": "expected a mapping",
        "model_type": "expected a mapping",
        "model_attributes_type": "expected a mapping",
        "list_type": "expected a list",
        "tuple_type": "expected a list",
    }
)


class PlacedError(ValueError):
    """What a model's validator says of an entry below the model: `where` leads there from it."""

    def __init__(self, where: _Where, sentence: str) -> None:
        super().__init__(sentence)
        self.where = where


def parse_config_file(text: str, name: str, model: type[_Model], context: Mapping[str, object] | None = None) -> _Model:
    """Check the text of the file that people know as `name`; an empty one is an empty mapping.

    `context` is the validation's. Raises ConfigFileError with one line a finding, which quotes no value: it may be a
    secret.
    """
    try:
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader), name))
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigFileError(f"{name} line {line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a scalar that only looks like a date
        raise ConfigFileError(f"{name}: not valid YAML: {error}") from error
    if not isinstance(data, dict | None):
        raise ConfigFileError(f"{name} line 1: the file must be a mapping; known keys: {', '.join(model.model_fields)}")
    try:
        return model.model_validate(data or {}, context=None if context is None else dict(context))
    except ValidationError as error:
        findings = (_finding(name, lines, model, each) for each in error.errors())
        raise ConfigFileError("\n".join(findings)) from error


def _lines(node: yaml.Node | None, name: str, where: _Where = ()) -> Iterator[tuple[_Where, int]]:
    """Line of each entry. Raises ConfigFileError for a key that is there twice: YAML would take the last in silence."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            entry, line = str(key.value), key.start_mark.line + 1
            if entry in seen:
                place = _dotted((*where, entry))
                raise ConfigFileError(f"{name} line {line}: {place} is already on line {seen[entry]}")
            seen[entry] = line
            yield (*where, entry), line
            yield from _lines(value, name, (*where, entry))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*where, index), item.start_mark.line + 1
            yield from _lines(item, name, (*where, index))


def _finding(name: str, lines: Mapping[_Where, int], model: type[BaseModel], error: ErrorDetails) -> str:
    where: _Where = tuple(part for part in error["loc"] if part != "[key]")
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, PlacedError):
        where += cause.where
    known = where
    while known and known not in lines:
        known = known[:-1]
    return f"{name} line {lines.get(known, 1)}: {_sentence(model, where, error)}"


def _sentence(model: type[BaseModel], where: _Where, error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(model, where)
    if error["type"] == "missing":
        return f"{_dotted(where[:-1])} needs {where[-1]}"
    told = error.get("ctx", {})
    known = _SENTENCES.get(error["type"])
    return f"{_dotted(where)}: {known.format(**told) if known else told.get('error') or error['msg']}"


def _unknown_key(model: type[BaseModel], where: _Where) -> str:
    *inside, key = map(str, where)
    section = _section(model, where[:-1])
    keys = [] if section is None else list(section.model_fields)
    place = f" in {_dotted(tuple(inside))}" if inside else ""
    instead: Mapping[str, str] = getattr(section, "unsupported", {})
    if key in instead:
        return f"{key}{place} is not supported: {instead[key]}"
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    mend = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(keys)}"
    return f"unknown key {key}{place}; {mend}"


def _section(annotation: Any, where: _Where) -> type[BaseModel] | None:  # noqa: ANN401 - a type annotation has no narrower type
    """The model that `where` leads to, through mappings, lists and optional fields."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, UnionType}:
        return next((found for one in arguments if (found := _section(one, where))), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not where:
            return annotation
        entry = annotation.model_fields.get(str(where[0]))
        return None if entry is None else _section(entry.annotation, where[1:])
    if where and origin in {dict, tuple}:
        return _section(arguments[1 if origin is dict else 0], where[1:])
    return None


def _dotted(where: _Where) -> str:
    return ".".join(map(str, where)) or "the file"
