"""The shipped table of common models, by exact name. A name that is not in it is not guessed at."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from recommender.models.config import Unreadable, read_config
from recommender.sizing.model_facts import ModelFacts

_FILE = Path(__file__).with_name("common.yml")


class CommonModel(BaseModel):
    """One shape: entries of its `config.json`, its published size, its names with what is different under each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: dict[str, object]
    parameters: int
    names: dict[str, dict[str, object]]
    tags: tuple[str, ...] = ()

    def facts(self) -> Mapping[str, ModelFacts]:
        """The facts of each name; ValueError for a row that its own reader does not understand."""
        shapes = {name: {**self.config, **own} for name, own in self.names.items()}
        found = {name: _read(name, shape) for name, shape in shapes.items()}
        tagged = {tag: replace(_read(tag, self.config), weight_dtype=None) for tag in self.tags}
        return {**found, **tagged}


def _read(name: str, config: Mapping[str, object]) -> ModelFacts:
    facts = read_config(config, name=name, source=f"shipped table of models: {name}")
    if isinstance(facts, Unreadable):
        raise ValueError(facts.reason)  # noqa: TRY004 - of the table, not of an argument
    return facts


@cache
def common_models() -> tuple[CommonModel, ...]:
    """All rows of the table."""
    return tuple(CommonModel.model_validate(row) for row in yaml.safe_load(_FILE.read_text(encoding="utf-8")))


@cache
def _by_name() -> Mapping[str, ModelFacts]:
    return {name: facts for row in common_models() for name, facts in row.facts().items()}


def common_model(name: str) -> ModelFacts | None:
    """The facts of a model of exactly this name, or None."""
    return _by_name().get(name)
