"""The size of an LMCache that lives in an engine is a change of its own file, where the inventory names that."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from recommender.executors.engine_config import changed as written
from recommender.model import Change, KnobValue
from recommender.patches import PatchContext, render
from recommender.playbooks import PlanContext
from recommender.playbooks.scope import ChangeScope, change_scope
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import (
    ONE,
    TWO,
    advised,
    changed,
    context,
    evidence,
    facts,
    finding,
    refused,
    size,
)

CACHE, GIB = Bottleneck.CACHE_INEFFICIENCY, 2**30
SEEN = {
    "replica:llm_external_cache_query_tokens:rate5m": 1000.0,
    "replica:llm_external_cache_hit_tokens:rate5m": 400.0,
    "replica:llm_external_cache_evictions:rate5m": 3.0,
    "replica:llm_external_cache_used_bytes": 4.9 * GIB,
    "replica:llm_prompt_tokens:rate5m": 1000.0,
    "replica:llm_prefix_cache_hit:ratio_rate5m": 0.2,
    "node:host_memory_available:ratio": 0.5,
}


def _context(named: tuple[str, ...] = (ONE, TWO), **file: KnobValue) -> PlanContext:
    given = context(known=facts(), tuning={"host_memory_bytes": 256 * GIB})
    replicas = tuple(
        replace(each, lmcache_config_file=f"/etc/{each.instance}.yml" if each.instance in named else None)
        for each in given.replicas
    )
    settings: Mapping[str, Mapping[str, KnobValue]] = dict.fromkeys(named, file)
    return replace(given, replicas=replicas, lmcache=settings)


def test_it_is_doubled_at_most_on_every_replica_that_has_as_much() -> None:
    change = changed(size(CACHE, "P09.10", evidence(SEEN), _context(max_local_cpu_size=5.0)))
    assert (change.engine, change.config_key, change.old, change.new) == (
        "lmcache",
        "max_local_cpu_size",
        5 * GIB,
        10 * GIB,
    )
    assert change.old_source == f"the configuration file of {ONE}"
    assert change.feasibility is not None
    assert (change.feasibility.before, change.feasibility.after) == (5.0 * GIB, 10.0 * GIB)
    text = "chunk_size: 256\nmax_local_cpu_size: 5.0 # GiB\n"
    assert written(text, change, Path("lmcache.yml")) == text.replace("5.0", "10")
    within = _context(max_local_cpu_size=5.0).of("lmcache")
    scope = change_scope(change.knob, evidence(SEEN), finding(CACHE), within)
    assert isinstance(scope, ChangeScope)
    assert scope.instances == (ONE, TWO)
    patches = render(change, PatchContext("chat", within.knobs))
    assert patches[0].content == "max_local_cpu_size: 10\n"


def test_what_the_window_asks_again_bounds_it() -> None:
    change = changed(size(CACHE, "P09.10", evidence(SEEN), _context(max_local_cpu_size=40.0)))
    assert change.new == 58 * GIB  # 600 s of 800 tokens a second are 58.6 GiB
    assert "as much as would be used" in refused(
        size(CACHE, "P09.10", evidence(SEEN), _context(max_local_cpu_size=60.0))
    )


@pytest.mark.parametrize("given", [_context(), _context(named=()), _context(max_local_cpu_size="5GB")])
def test_without_a_file_or_a_size_in_it_that_is_understood_it_is_advice(given: PlanContext) -> None:
    outcome = size(CACHE, "P09.10", evidence(SEEN), given)
    assert not isinstance(outcome, Change)
    assert "max_local_cpu_size" in advised(outcome)
