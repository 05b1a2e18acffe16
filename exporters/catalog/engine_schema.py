"""What a file `engines/*.yml` may say: how an engine's own series and pages become the canonical `llm_*` families.

One description serves both ways of reading an engine: the prober applies it in Python
(`exporters/inference/mapping.py`), the recording rules for direct scraping apply it in PromQL (`rules/build.py`).

How a family is made from series
--------------------------------
1. The first of its `sources` that is *present* is taken, for the whole target; a source is present when its series and
   those of `over`, `times` and `count` are there. A `:` in a name may arrive rewritten to `_`; all names of a source
   are then rewritten alike.
2. Series that differ only in the engine's `duplicates` (tensor-parallel ranks that repeat one figure) become one, by
   max.
3. Where a source has operands (`plus`, `times`, `over`): each term is summed to one figure a *rank* (the family's
   labels and the engine's `ranks`), then `(name + plus…) * times / over`. What one of the terms of a sum lacks adds
   nothing, so a rank that only a `plus` has counts too; a rank whose `over` is absent or not above 0, or whose `times`
   is absent, gives nothing.
4. `scale` converts the unit, on a histogram its bounds as well.
5. `reduce` makes one figure of what is left, by the family's own labels.

What no source gives is absent, never 0.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict

from exporters.catalog.inference import Engine

METRICS_PATH = "/metrics"

_STRICT = ConfigDict(extra="forbid")


class Reduce(StrEnum):
    """How series that differ only in labels which the canonical family lacks become one."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


def _short(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Term:
    """Series called `name`. `where` keeps those whose label has one of the values; `x*` stands for what begins with x.

    An absent label is the empty value, as in PromQL.
    """

    __pydantic_config__ = _STRICT

    name: str
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)


ShortTerm = Annotated[Term, BeforeValidator(_short)]


@dataclass(frozen=True, slots=True)
class Source(Term):
    """One way to get a family: a series, and what is added to it, multiplied and divided with it.

    `count`, on a histogram family only: `name` is a counter that adds up what `count` counts. The family then has a
    sum and a count and no buckets: means are known, quantiles are not.
    """

    __pydantic_config__ = _STRICT

    scale: float = 1.0
    plus: tuple[ShortTerm, ...] = ()
    times: ShortTerm | None = None
    over: ShortTerm | None = None
    count: ShortTerm | None = None

    @property
    def required(self) -> tuple[Term, ...]:
        """The terms without which the source is not present, its own first."""
        return (Term(self.name, self.where), *(term for term in (self.times, self.over, self.count) if term))

    @property
    def combined(self) -> bool:
        """Whether the figure is computed from several series."""
        return bool(self.plus or self.times or self.over)


@dataclass(frozen=True, slots=True)
class FamilyMapping:
    """Where a canonical family comes from.

    `labels`: canonical name -> engine's, for those of the family's labels that the engine knows; the others are empty.
    """

    __pydantic_config__ = _STRICT

    sources: tuple[Annotated[Source, BeforeValidator(_short)], ...]
    reduce: Reduce
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NumberFact:
    """A canonical gauge from labels of an info series: the first product of which every label is a plain number."""

    __pydantic_config__ = _STRICT

    info: str
    products: tuple[tuple[str, ...], ...]
    reduce: Reduce


@dataclass(frozen=True, slots=True)
class TextFact:
    """A canonical info family from labels of an info series. `labels`: canonical name -> engine's."""

    __pydantic_config__ = _STRICT

    info: str
    labels: dict[str, str]


def _short_pointer(value: object) -> object:
    return {"at": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class TextPointer:
    """A text in a JSON page, at a dotted path (`internal_states.0.version`). `values` renames what is found there.

    The empty path is the page itself; `*` stands for every item of a list.
    """

    __pydantic_config__ = _STRICT

    at: str
    values: dict[str, str] = field(default_factory=dict)


ShortPointer = Annotated[TextPointer, BeforeValidator(_short_pointer)]


@dataclass(frozen=True, slots=True)
class FactPage:
    """A JSON page of the engine's server that tells what `/metrics` does not; asked for once in a while.

    `older`: paths that earlier releases have instead. `model`, `version`: the first pointer that finds a text, or
    several models.
    `numbers`: family -> products, the first of which every factor is a number, a factor being a pointer or a number
    that stands for itself. `texts`: family -> its labels. A family that the exposition gives too is taken from there.
    """

    __pydantic_config__ = _STRICT

    path: str
    older: tuple[str, ...] = ()
    model: tuple[ShortPointer, ...] = ()
    version: tuple[ShortPointer, ...] = ()
    numbers: dict[str, tuple[tuple[str | float, ...], ...]] = field(default_factory=dict)
    texts: dict[str, dict[str, ShortPointer]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelList:
    """For an engine that has no exposition: its `metrics_path` is a JSON page with a list of loaded models.

    `items`: where the list is; `model`: where an item has the model's name; `numbers`: family -> pointer within an
    item; `times`: family -> pointer to an RFC 3339 time, which becomes seconds since the epoch; `texts` as in FactPage.
    """

    __pydantic_config__ = _STRICT

    items: str
    model: str
    numbers: dict[str, str] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    texts: dict[str, dict[str, ShortPointer]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineCatalogue:
    """Everything that is known of one engine's exposition and pages.

    `note`: what people should know: versions, what must be switched on, what the figures are not.
    `detect`: series of which one tells the engine; for a `ModelList` its items do. `quiet`: series appear with their
    first use, so that an engine which serves nothing yet may show an empty page. `model_label`: the engine's label that
    names the model, None where it has none (then a fact page, or the target's label `model`, tells it). `model_source`:
    a series that names every model served, for facts that name none.
    """

    __pydantic_config__ = _STRICT

    engine: Engine
    title: str
    note: str = ""
    detect: tuple[str, ...] = ()
    quiet: bool = False
    metrics_path: str = METRICS_PATH
    model_label: str | None = None
    model_source: str | None = None
    duplicates: tuple[str, ...] = ()
    ranks: tuple[str, ...] = ()
    families: dict[str, FamilyMapping] = field(default_factory=dict)
    numbers: dict[str, NumberFact] = field(default_factory=dict)
    texts: dict[str, TextFact] = field(default_factory=dict)
    models: ModelList | None = None
    pages: tuple[FactPage, ...] = ()
