"""Changes of engines without latency histograms, on the real store and files: judged by what each engine tells."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from recommender.metrics import VerificationMetric
from recommender.model import Direction, Expectation, Verdict, VerdictOutcome, Verification, Workflow, WorkflowState
from recommender.plan_parts import verification
from recommender.playbooks import Effects, PlanContext
from recommender.playbooks.effects import error_guard, itl_guard, preemption_guard, published, ttft_guard
from recommender.store import Store
from recommender.verifiable import judged_here
from tests.recommender.playbooks.made import ONE, context, evidence
from tests.recommender.rollout.builders import HandClock
from tests.recommender.rollout.story import approved, open_store, run_to_end
from tests.recommender.rollout.world import OLD, World, running_world

S, M = WorkflowState, VerificationMetric
PROBES = {"replica:llm_probe_success": 1.0}


@dataclass
class Rollout:
    """A world of one engine, with the verification that a plan of its has."""

    world: World
    store: Store
    clock: HandClock

    def of(self, engine: str, *, probed: bool = False) -> Verification:
        """More slots, as P04.1 promises them; of Ollama fewer, as P01.9 does."""
        self.world.engine, self.world.probed = engine, probed
        given, seen = context(engine), evidence(PROBES if probed else {})
        playbook, promised = ("P01.9", on_device()) if engine == "ollama" else ("P04.1", first_token(given))
        guards = (error_guard(given), itl_guard(given), preemption_guard(given), ttft_guard(given))
        judged = judged_here(playbook, Effects((promised,), promised, guards[: 4 if probed else 3]), seen, ONE, given)
        assert not judged.unverifiable
        times = {"settle_seconds": 60, "window_seconds": 240, "interval_seconds": 10, "min_requests": 10}
        return verification(judged, given).model_copy(update=times)

    def run(self, judged: Verification) -> Workflow:
        approved(self.store, self.world, verification=judged)
        return run_to_end(self.store, self.world, self.clock)

    @property
    def untouched(self) -> bool:
        return all(engine.running == OLD and engine.config.read_text() == OLD for engine in self.world.engines)


def first_token(given: PlanContext) -> Expectation:
    return published(M.TTFT_P95_SECONDS, Direction.LOWER, (0.97, 0.5), "made", given)


def on_device() -> Expectation:
    return Expectation(metric=M.MODEL_ON_DEVICE_RATIO, direction=Direction.HIGHER, low=1.03, high=2.0, source="made")


@pytest.fixture(params=[2, 1], ids=["canary and control", "one replica"])
def rollout(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Iterator[Rollout]:
    """With a sibling that keeps the old value, and alone, compared with itself before."""
    with running_world(tmp_path / "engines", replicas=request.param) as world:
        world.may_restart_alone = True
        world.waiting, world.tokens = (12.0, 4.0), (200.0, 230.0)
        yield Rollout(world, open_store(tmp_path), clock)


def promised(verdict: Verdict) -> str:
    return verdict.comparisons[0].metric


def test_slots_of_llama_cpp_that_shorten_its_queue_are_kept(rollout: Rollout) -> None:
    done = rollout.run(rollout.of("llamacpp"))
    assert done.state is S.SUCCEEDED, done.reason
    assert promised(done.verdicts[0]) == M.QUEUE_SECONDS_PER_TOKEN
    assert "generated tokens in 240 s" in done.verdicts[0].text
    assert done.verdicts[0].requests is None  # it counts none


def test_slots_of_llama_cpp_that_slow_its_tokens_down_are_taken_back(rollout: Rollout) -> None:
    rollout.world.inter_token_with_new = 0.09
    done = rollout.run(rollout.of("llamacpp"))
    assert (done.state, rollout.untouched) == (S.ROLLED_BACK, True)
    assert "time per token of a running request" in done.reason


def test_errors_that_llama_cpp_does_not_count_show_as_missing_tokens(rollout: Rollout) -> None:
    rollout.world.waiting, rollout.world.tokens = (12.0, 1.0), (200.0, 150.0)
    done = rollout.run(rollout.of("llamacpp"))
    assert (done.state, "less than 0.9 times as much" in done.reason) == (S.ROLLED_BACK, True)


def test_a_shorter_queue_proves_nothing_to_a_single_replica_of_which_less_was_asked(rollout: Rollout) -> None:
    rollout.world.waiting, rollout.world.tokens = (12.0, 0.0), (200.0, 150.0)
    done = rollout.run(rollout.of("llamacpp", probed=True))  # no guard on tokens: probes tell of errors
    alone = len(rollout.world.engines) == 1
    assert done.state is (S.ROLLED_BACK if alone else S.SUCCEEDED), done.reason
    assert ("as much demand as before is not shown" in done.reason) is alone


def test_what_llama_cpp_should_tell_and_does_not_is_missing_data(rollout: Rollout) -> None:
    rollout.world.lost = "replica:llm_requests_waiting"
    assert rollout.run(rollout.of("llamacpp")).state is S.EXPIRED  # no baseline, nothing was changed
    assert rollout.untouched


def test_a_guard_whose_series_goes_missing_takes_the_change_back(rollout: Rollout) -> None:
    rollout.world.lost = "replica:llm_requests_running"
    done = rollout.run(rollout.of("llamacpp"))
    assert (done.state, rollout.untouched) == (S.ROLLED_BACK, True)
    assert {verdict.outcome for verdict in done.verdicts} == {VerdictOutcome.ERROR}


def test_ollama_is_judged_by_what_is_on_the_device_and_by_probes(rollout: Rollout) -> None:
    done = rollout.run(rollout.of("ollama", probed=True))
    assert done.state is S.SUCCEEDED, done.reason
    assert promised(done.verdicts[0]) == M.MODEL_ON_DEVICE_RATIO
    assert "probed minutes" in done.verdicts[0].text


def test_a_change_of_ollama_after_which_probes_fail_is_taken_back(rollout: Rollout) -> None:
    rollout.world.failing_probes_with_new = 0.4
    done = rollout.run(rollout.of("ollama", probed=True))
    assert (done.state, rollout.untouched) == (S.ROLLED_BACK, True)
    assert "black-box probes that fail 40 %" in done.reason


@pytest.mark.parametrize("engine", ["tgi", "tensorrt_llm"])
def test_engines_with_half_of_the_latencies_are_judged_by_the_other_half(rollout: Rollout, engine: str) -> None:
    done = rollout.run(rollout.of(engine))
    assert done.state is S.SUCCEEDED, done.reason
    assert promised(done.verdicts[0]) == (M.QUEUE_SECONDS_PER_TOKEN if engine == "tgi" else M.TTFT_P95_SECONDS)
