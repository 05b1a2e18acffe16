"""Effect rows, on SQLite and PostgreSQL: written with the end of a workflow, once, and read by what filters them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from recommender.errors import Conflict
from recommender.ledger import LedgerConfig
from recommender.ledger.record import effects_of
from recommender.model import Comparison, Verdict, VerdictOutcome, Workflow, WorkflowState
from recommender.store import Store
from recommender.store.effect_rows import EffectFilter
from tests.recommender.rollout.builders import make_plan
from tests.recommender.rollout.builders import make_workflow as make_rollout

S = WorkflowState
Make = Callable[..., Workflow]


def judged(workflow_id: str, state: WorkflowState = S.SUCCEEDED, **update: Any) -> Workflow:
    figures = {"canary": 0.5, "control": 1.0, "ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.6, "samples": 15}
    comparisons = tuple(
        Comparison(metric=metric, outcome=VerdictOutcome.PASS, text="", **figures)
        for metric in ("ttft_p95_seconds", "itl_p95_seconds")
    )
    at = update.pop("at", None) or make_rollout().created_at
    verdict = Verdict(outcome=VerdictOutcome.PASS, at=at, window_seconds=900, comparisons=comparisons, text="")
    plan = make_plan(**{"service": workflow_id, "engine_version": "0.11.0", "gpu": "H100 SXM", **update})
    return make_rollout(state, id=workflow_id, plan=plan, verdicts=(verdict,), updated_at=at)


def stored(store: Store, workflow_id: str = "w1", **update: Any) -> Workflow:
    begun = store.create(judged(workflow_id, S.VALIDATING, **update), [])
    assert store.effects(EffectFilter(service=workflow_id)) == []
    return store.save(judged(workflow_id, **update).model_copy(update={"version": begun.version}), [])


def test_effects_come_back_as_they_were_measured(store: Store) -> None:
    done = stored(store)
    assert store.effects() == sorted(effects_of(done), key=lambda one: one.metric)
    assert len(store.effects()) == 2


@pytest.mark.parametrize(("old", "new"), [(8, 16), (0.9, 0.92), (False, True), ("auto", 'f"p8'), (2**40, 2**41)])
def test_old_and_new_keep_their_type(store: Store, old: Any, new: Any) -> None:
    change = make_plan().change
    assert change is not None
    stored(store, change=change.model_copy(update={"old": old, "new": new}))
    effect = store.effects()[0]
    assert (effect.old, type(effect.old), effect.new, type(effect.new)) == (old, type(old), new, type(new))


def test_writing_the_end_again_changes_nothing_and_a_later_end_replaces_it(store: Store) -> None:
    failed = store.create(judged("w1", S.ROLLING_BACK), [])
    failed = store.save(failed.model_copy(update={"state": S.ROLLBACK_FAILED}), [])
    once = store.effects()
    again = store.save(failed, [])
    assert store.effects() == once
    trying = store.save(again.model_copy(update={"state": S.ROLLING_BACK}), [])
    store.save(trying.model_copy(update={"state": S.ROLLED_BACK}), [])
    assert [one.state for one in store.effects()] == [S.ROLLED_BACK] * 2


def test_a_stale_end_writes_no_effects(store: Store) -> None:
    begun = store.create(judged("w1", S.VALIDATING), [])
    store.save(begun, [])
    with pytest.raises(Conflict):
        store.save(begun.model_copy(update={"state": S.SUCCEEDED}), [])
    assert store.effects() == []


def test_effects_are_found_by_playbook_engine_gpu_service_and_metric_the_newest_first(store: Store, clock: Any) -> None:
    stored(store, "one", playbook="P04.1")
    stored(store, "two", playbook="P02.4", gpu=None, at=clock.now() + timedelta(hours=1))

    def found(limit: int = 100, **wanted: Any) -> list[tuple[str, str]]:
        return [(one.workflow_id, one.metric[:3]) for one in store.effects(EffectFilter(**wanted), limit)]

    assert found() == [("two", "itl"), ("two", "ttf"), ("one", "itl"), ("one", "ttf")]
    assert found(limit=1) == [("two", "itl")]
    assert found(playbook="P04.1", metric="ttft_p95_seconds") == [("one", "ttf")]
    assert found(gpu="H100 SXM", service="one") == [("one", "itl"), ("one", "ttf")]
    assert found(engine="sglang") == []


def test_what_the_site_learnt_from_is_its_effects(store: Store) -> None:
    assert list(store.site_effects().results) == []
    stored(store)
    found = {one.metric: one for one in store.site_effects().results}
    ttft, itl = found["ttft_p95_seconds"], found["itl_p95_seconds"]
    assert (ttft.playbook, ttft.engine, ttft.gpu, ttft.ratio) == ("P04.1", "vllm", "H100 SXM", 0.5)
    assert ttft.sigma == pytest.approx(0.1034, abs=1e-4)
    assert (ttft.succeeded, ttft.ended, itl.succeeded, itl.ended) == (True, S.SUCCEEDED, None, None)
    assert store.site_effects(LedgerConfig(prior_weight=9)).config.prior_weight == 9


def test_an_engine_may_call_its_version_anything(store: Store) -> None:
    stored(store, engine_version="0.1\x00'); DROP TABLE effects;--" + "é" * 300)
    assert store.effects()[0].engine_version == "0.1'); DROP TABLE effects;--" + "é" * 300
