"""The rules evaluated over raw series give what the same rules record: the rule engine of Prometheus against a real
Prometheus that has no rules, over the same past.

Tolerance: none but that of floating point (1e-9 of the value). Both read the same samples at the same instants. Left
out are sums and means over half an hour and more, which promtool records four times a minute instead of once, and what
was refused.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pytest

from recommender.contracts import Sample
from recommender.inventory import Inventory
from recommender.oneshot.client import Access, ReadingClient
from recommender.oneshot.evaluate import evaluate, wanted
from recommender.oneshot.find import raw
from recommender.oneshot.settings import constants
from rules.inline.inliner import Inliner
from rules.pack import RULES_DIR, load_rules
from tests.recommender.oneshot.conftest import MACHINE, OTHER_MACHINE, Key, engines

_HOURS = re.compile(r":(increase\d+[hd]|ratio_rate(30m|\d+[hd])|ratio1h|llm_concurrency_limit:kv_cache)$")
_FIGURES = ("service:threshold:", "service:objective:")


def _compared(samples: Mapping[Key, float]) -> dict[Key, float]:
    unread = {rule.name for rule in load_rules() if not wanted(rule)}
    return {
        key: value
        for key, value in samples.items()
        if not math.isnan(value)
        and (name := dict(key)["__name__"]) not in unread
        and not _HOURS.search(name)
        and not name.startswith(_FIGURES)
        and ":" in name
        and not re.search(r"_(bucket|sum|count):", name)
    }


def test_every_engine_and_machine_gives_the_same_signals_without_the_rules(
    past: str, at: datetime, recorded: Mapping[Key, float]
) -> None:
    rules = load_rules()
    client = ReadingClient(past, Access(), timeout_seconds=30)
    found = raw(client, rules, at, {}, {})
    assert [service.name for service in found.services] == sorted(engine.service for engine in engines())
    names = [service.name for service in found.services]
    inliner = Inliner(rules, found.place(found.services), constants(rules, names, Inventory()))
    evaluated = evaluate(client, inliner, rules, at)
    client.close()

    def known(samples: tuple[Sample, ...]) -> dict[Key, float]:
        return {tuple(sorted(one.labels.items())): one.value for one in samples}

    refused = [{"__name__": rule.name, **rule.labels} for rule in rules if rule.place in evaluated.refused]
    ours, theirs = _compared(known(evaluated.samples)), _compared(recorded)
    theirs = {key: value for key, value in theirs.items() if not any(one.items() <= set(key) for one in refused)}
    assert len(theirs) > 800
    used = {dict(key)["node"] for key in theirs if dict(key)["__name__"] == "gpu:gpu_utilization:ratio"}
    assert used == {MACHINE, OTHER_MACHINE}
    assert ours.keys() - theirs.keys() == set()
    assert theirs.keys() - ours.keys() == set()
    different = {
        key: (ours[key], value) for key, value in theirs.items() if ours[key] != pytest.approx(value, rel=1e-9)
    }
    assert different == {}
    # Bounded: however many replicas, some twenty queries, none longer than a batch and the longest expression.
    assert client.asked.queries <= 40
    assert client.asked.longest < 125_000


def test_test_data_reach_every_engine_that_tells_of_itself() -> None:
    assert {engine.kind for engine in engines()} == {
        *("vllm", "sglang", "llamacpp", "tgi", "tensorrt_llm", "triton", "dynamo")
    }
    assert Path(RULES_DIR / "sources").is_dir()
