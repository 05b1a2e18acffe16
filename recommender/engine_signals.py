"""Which signals an engine can give at all, from the exporters' catalogue. Pure.

"Can" is not "does": what an engine should tell and does not is missing data, and missing data proves nothing. What no
version of it tells is no reason to wait for it: something else is looked at, or a person is told that nothing can be.
"""

import re
from collections.abc import Iterable
from functools import cache

from exporters.catalog import Engine, load_engine
from rules.catalog import HISTOGRAMS, SOURCE_COUNTERS, SOURCE_GAUGES

_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_SIGNAL = re.compile(r"\b(?:replica|service):\w+(?::\w+)?")
_PARTS = ("_bucket", "_sum", "_count")
_QUANTILES = frozenset({"p50", "p95", "p99"})
_FAMILIES = {stem.split(":")[1]: family for stem, family in (SOURCE_GAUGES | SOURCE_COUNTERS | HISTOGRAMS).items()} | {
    "llm_requests_rejected": "llm_requests_rejected_total"
}
# Derived signals with a name of their own, and the families that all of them need.
_MADE_OF = {
    "llm_queue_share_of_ttft": ("llm_request_queue_seconds", "llm_time_to_first_token_seconds"),
    "llm_prefill_share_of_ttft": ("llm_request_prefill_seconds", "llm_time_to_first_token_seconds"),
    "llm_preemptions_per_request": ("llm_preemptions_total", "llm_requests_total"),
    "llm_prefix_cache_hit": ("llm_prefix_cache_query_tokens_total", "llm_prefix_cache_hit_tokens_total"),
    "llm_external_cache_hit": ("llm_external_cache_query_tokens_total", "llm_external_cache_hit_tokens_total"),
    "llm_admission_fullness": ("llm_requests_running",),  # its limit may come from the inventory
}
NEVER_PREEMPT = frozenset({"tgi", "llamacpp", "ollama"})
"""Engines that reserve the KV memory that a request may need before it runs: none is thrown out of it."""

# Told by old releases only, of which nobody says which one runs.
_NO_LONGER = {("llamacpp", "llm_kv_cache_usage_ratio")}


def can_tell(engine: str | None, signal: str) -> bool | None:
    """Whether some version of `engine` gives a signal of the rules.

    None where that is not the engine's affair (nodes, GPUs, probes, the inventory's figures), or not known.
    """
    if engine not in set(Engine):
        return None
    level, _, rest = signal.partition(":")
    stem, _, operation = rest.partition(":")
    part = next((one for one in _PARTS if stem.endswith(one)), "")
    families = _families_of(stem.removesuffix(part))
    if level not in {"replica", "service"} or not families:
        return None
    exact = part == "_bucket" or operation.partition("_")[0] in _QUANTILES
    told = _with_bounds(engine) if exact else _told(engine)
    return told.issuperset(families)


def could_tell(engine: str | None, signals: Iterable[str]) -> bool:
    """Whether nothing is known against `engine` giving all of these signals."""
    return all(can_tell(engine, signal) is not False for signal in signals)


def signals_in(query: str) -> tuple[str, ...]:
    """The recorded signals of replicas and services that a query reads; names within literals are none."""
    return tuple(_SIGNAL.findall(_LITERAL.sub('""', query)))


def _families_of(stem: str) -> tuple[str, ...]:
    if stem in _MADE_OF:
        return _MADE_OF[stem]
    return (_FAMILIES[stem],) if stem in _FAMILIES and stem != "llm_up" else ()


@cache
def _told(engine: str) -> frozenset[str]:
    """Families that its pages give, in any version that is still about."""
    catalogue = load_engine(Engine(engine))
    found = {*catalogue.families, *catalogue.numbers, *catalogue.texts}
    found |= {name for page in catalogue.pages for name in (*page.numbers, *page.texts)}
    if catalogue.models is not None:
        found |= {*catalogue.models.numbers, *catalogue.models.times, *catalogue.models.texts}
    return frozenset(family for family in found if (engine, family) not in _NO_LONGER)


@cache
def _with_bounds(engine: str) -> frozenset[str]:
    """Histograms with buckets, so that a quantile is known; of two counters only a mean is."""
    families = load_engine(Engine(engine)).families
    return frozenset(
        family
        for family, mapping in families.items()
        if family in HISTOGRAMS.values() and any(source.count is None for source in mapping.sources)
    )
