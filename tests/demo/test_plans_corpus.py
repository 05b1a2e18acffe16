"""What is proposed in stories of the corpus: the playbook's change, its value by hand; where all is well, nothing.

One story of each class but those of days, and some of each engine; the whole corpus is bench/plans_bench.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from demo.faults.corpus import corpus
from demo.faults.plan_judge import CHANGES, MUST_CHANGE, PLAYBOOKS, wrongs
from demo.faults.plans import Proposal, answers, propose, service_of
from demo.faults.promtool import Pack, Sample
from demo.faults.run import RULES
from demo.faults.scenario import Kind, Scenario
from recommender.playbooks import PLAYBOOKS as REGISTRY
from rules.catalog import Bottleneck

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
FAULTS = (
    "admission-plateau",
    "admission-sglang",
    "admission-tensorrt_llm",
    "kv-full",
    "kv-sglang",
    "kv-tgi",
    "queue-llamacpp-probed",
    "queue-kv-between",
    "down-only-vllm-probed",
    "frozen-tgi-direct",
    "errors-many",
    "thermal-software-ours-101",
    "power-brake-ours-111",
    "gpu-xid-79-ours-121",
    "gpu-repair-pending-ours-131",
    "pcie-full-ours-141",
    "cpu-busy-1",
    "engine-thread-1",
    "memory-low-1",
    "network-errors-4",
    "latency-itl-slowed",
    "decode-bandwidth-both-61",
    "disk-stall-1",
    "filesystem-low-1",
    "link-degraded-134",
    "prefill-vllm",
    "throughput-llamacpp-direct",
    "imbalance-one-of-2-511",
    "straggler-of-two-501",
    "capacity-soon-902",
    # Of hours, a scrape a minute.
    "cache-off",
    "gpu-memory-151",
    "power-limit-ours-114",
    "budget-fast-831",
)
AT_ONCE = 20
"""Stories of one promtool, which reads no more samples for a question than those of some thirty."""
OF_DAYS = {Bottleneck.GPU_IDLE, Bottleneck.OVER_PROVISIONED, Bottleneck.COST_PER_TOKEN}
"""Classes whose stories take a quarter of a day to a week: only the bench plays them (--hours)."""
WELL = (
    "admission-full-no-queue-probed",
    "admission-burst-sglang",
    "queue-burst-tgi",
    "kv-full-batch-vllm",
    "frozen-idle-llamacpp",
    "gpu-gpu_thermal_throttle-not-ours-161",
    "thread-spins-gpu-busy-ours",
    "healthy-recorded-steady-direct",
)


@dataclass(frozen=True)
class Told:
    """A story and what the rules recorded at its end."""

    scenario: Scenario
    samples: Sequence[Sample]

    def proposal(self, without: str = "") -> Proposal:
        """What is proposed, without the signals whose name has this in it."""
        known = [one for one in self.samples if not without or without not in one.labels.get("__name__", "")]
        return propose(self.scenario, known, service_of(self.scenario))


@pytest.fixture(scope="module")
def told() -> Mapping[str, Told]:
    chosen = [one for one in corpus() if one.name in {*FAULTS, *WELL}]
    assert len(chosen) == len(FAULTS) + len(WELL)
    found: dict[str, Told] = {}
    for interval in {one.interval for one in chosen}:
        by_length = sorted((one for one in chosen if one.interval == interval), key=lambda one: one.duration)
        for start in range(0, len(by_length), AT_ONCE):
            together = by_length[start : start + AT_ONCE]
            pairs = zip(together, answers(together, Pack(RULES)), strict=True)
            found |= {one.name: Told(one, samples) for one, samples in pairs}
    return found


def test_each_class_has_its_playbooks_in_the_registry() -> None:
    assert set(PLAYBOOKS) == set(Bottleneck) - {Bottleneck.NONE}
    for bottleneck, prefixes in PLAYBOOKS.items():
        assert any(playbook.id.startswith(prefixes[0]) for playbook in REGISTRY[bottleneck]), bottleneck
    assert set(CHANGES) >= MUST_CHANGE


def test_each_class_that_the_corpus_does_is_among_them() -> None:
    done = {one.name: one.injected for one in corpus() if one.injected is not None}
    assert {done[name] for name in FAULTS} == set(done.values()) - OF_DAYS


def test_each_fault_gets_what_its_playbook_gives_and_the_value_is_that_by_hand(told: Mapping[str, Told]) -> None:
    assert {name: told[name].scenario.kind for name in FAULTS} == dict.fromkeys(FAULTS, Kind.FAULT)
    assert {name: found for name in FAULTS if (found := list(wrongs(told[name].proposal(), told[name].samples)))} == {}


def test_where_all_is_well_nothing_is_changed(told: Mapping[str, Told]) -> None:
    assert {name for name in WELL if told[name].scenario.kind is Kind.FAULT} == set()
    assert {name: plan.title for name in WELL if (plan := told[name].proposal().plan) is not None} == {}


@pytest.mark.parametrize(
    "without",
    [
        "replica:",  # stale: nothing of any replica is there any more
        "bottleneck:evidence",
        "llm_kv_cache_",
        "llm_tokens_per_running_request",
        "service:threshold:",
    ],
)
def test_what_is_unknown_changes_nothing(told: Mapping[str, Told], without: str) -> None:
    sized_by_it = [name for name in FAULTS if told[name].scenario.injected in MUST_CHANGE]
    proposed = {name: told[name].proposal(without).plan for name in sized_by_it}
    changed = {name: plan.change.knob for name, plan in proposed.items() if plan is not None and plan.change}
    # A share of device memory needs no figure of the KV cache.
    assert {knob for knob in changed.values() if knob != "kv_cache_memory_fraction"} == set()
    if without in {"replica:", "bottleneck:evidence"}:
        assert changed == {}


def test_the_same_story_gives_the_same_bytes(told: Mapping[str, Told]) -> None:
    for name in ("admission-plateau", "kv-full"):
        one, other = (told[name].proposal().plan for _ in range(2))
        assert one is not None
        assert other is not None
        assert one.model_dump_json() == other.model_dump_json()
        backwards = propose(told[name].scenario, list(told[name].samples)[::-1], service_of(told[name].scenario)).plan
        assert backwards is not None
        assert backwards.model_dump_json() == one.model_dump_json()
