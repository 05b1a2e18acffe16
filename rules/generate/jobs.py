"""Tells the pages of two engines apart that show one series: LMCache's are on its own page and on vLLM's."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from exporters.catalog import EngineCatalogue, FamilyMapping, Source, Term

_AnyTerm = TypeVar("_AnyTerm", Source, Term)


def of_own_jobs(catalogues: Sequence[EngineCatalogue]) -> list[EngineCatalogue]:
    """The catalogues, series that several of them read narrowed to the engine's own scrape job."""
    readers = Counter(name for catalogue in catalogues for name in _names(catalogue))
    shared = frozenset(name for name, count in readers.items() if count > 1)
    return [_narrowed(catalogue, shared) for catalogue in catalogues]


def _names(catalogue: EngineCatalogue) -> set[str]:
    sources = (source for mapping in catalogue.families.values() for source in mapping.sources)
    return {term.name for source in sources for term in (*source.required, *source.plus)}


def _narrowed(catalogue: EngineCatalogue, shared: frozenset[str]) -> EngineCatalogue:
    def one(term: _AnyTerm) -> _AnyTerm:
        if term.name not in shared:
            return term
        return replace(term, where={**term.where, "job": (catalogue.engine.value,)})

    def source(whole: Source) -> Source:
        return replace(
            one(whole),
            plus=tuple(map(one, whole.plus)),
            times=whole.times and one(whole.times),
            over=whole.over and one(whole.over),
            count=whole.count and one(whole.count),
        )

    def mapping(family: FamilyMapping) -> FamilyMapping:
        return replace(family, sources=tuple(map(source, family.sources)))

    return replace(catalogue, families={name: mapping(family) for name, family in catalogue.families.items()})
