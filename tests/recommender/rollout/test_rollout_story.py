"""Whole rollouts on the real store, real files, a real restart command and real health checks."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from recommender.model import ReplicaPhase, VerdictOutcome, WorkflowState
from recommender.rollout.observation import Limits
from recommender.rollout.states import move
from recommender.store import Store
from tests.recommender.rollout.builders import START, HandClock, make_plan, make_verification, make_workflow
from tests.recommender.rollout.story import FEW_STEPS, approved, kinds, open_store, reconciler, run_to_end, run_until
from tests.recommender.rollout.world import NEW, OLD, World, running_world, untouched

S = WorkflowState


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path / "engines") as made:
        yield made


def test_a_change_that_helps_reaches_every_replica_once_and_succeeds(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.SUCCEEDED, done.reason
    assert [engine.running for engine in world.engines] == [NEW] * 3
    assert [engine.restarts for engine in world.engines] == [1, 1, 1]
    assert done.baseline is not None
    assert done.baseline.values["ttft_p95_seconds"] == pytest.approx(8.0)
    assert done.outcome["ttft_p95_seconds"] == pytest.approx(1.0)
    assert done.outcome["generation_tokens_per_second"] == pytest.approx(60.0)
    assert [verdict.outcome for verdict in done.verdicts] == [VerdictOutcome.PASS] * 2
    assert kinds(store) == [
        *("canary", "apply_intended", "applied", "replica_ready", "waiting", "waiting", "verdict", "rolling_out"),
        *("apply_intended", "applied", "replica_ready") * 2,
        *("validating", "waiting", "waiting", "verdict", "succeeded"),
    ]


def test_the_canary_is_the_only_one_changed_until_it_is_judged(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world)
    run_until(store, world, clock, S.ROLLING_OUT)
    assert [engine.running for engine in world.engines] == [NEW, OLD, OLD]
    settled_and_measured = timedelta(seconds=60 + 120)
    assert clock.now() >= START + settled_and_measured


def test_the_window_starts_a_minute_after_ready_even_if_settling_is_said_to_take_none(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world, verification=make_verification(settle_seconds=0))
    judged = run_until(store, world, clock, S.ROLLING_OUT)
    ready_at = judged.replicas[0].ready_at
    assert ready_at is not None
    assert judged.verdicts[0].at >= ready_at + timedelta(seconds=60 + 120)


def test_a_change_that_hurts_is_taken_back_from_the_canary(store: Store, world: World, clock: HandClock) -> None:
    world.effect["new"] = 30.0
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK
    assert "TTFT p95 30" in done.reason
    assert "serves with its old configuration again" in done.reason
    assert untouched(world)
    assert [engine.restarts for engine in world.engines] == [2, 0, 0]


def test_a_hurt_guard_takes_the_change_back(store: Store, world: World, clock: HandClock) -> None:
    world.errors_with_new = 1.0
    approved(store, world)
    assert run_to_end(store, world, clock).state is S.ROLLED_BACK
    assert untouched(world)


def test_no_effect_is_measured_once_longer_and_then_taken_back(store: Store, world: World, clock: HandClock) -> None:
    world.effect["new"] = 8.0
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK
    assert [verdict.outcome for verdict in done.verdicts] == [VerdictOutcome.INCONCLUSIVE] * 2
    assert [verdict.window_seconds for verdict in done.verdicts] == [120, 240]
    assert untouched(world)


def test_an_idle_service_proves_nothing(store: Store, world: World, clock: HandClock) -> None:
    world.requests_per_second = 0.1
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK
    assert "requests needed" in done.reason


def test_metrics_that_stop_take_the_change_back_after_a_few_tries(store: Store, world: World, clock: HandClock) -> None:
    world.silent_from = START + timedelta(seconds=30)
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK
    assert {verdict.outcome for verdict in done.verdicts} == {VerdictOutcome.ERROR}
    assert len(done.verdicts) == Limits().measure_errors
    assert untouched(world)


def test_prometheus_being_away_for_a_while_costs_nothing_but_time(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world)
    run_until(store, world, clock, S.CANARY)
    world.prometheus_down = True
    hands = reconciler(store, world, clock)
    while not store.workflow("w1").verdicts:
        if not hands.run_once():
            clock.advance(10)
    assert store.workflow("w1").verdicts[0].outcome is VerdictOutcome.ERROR
    world.prometheus_down = False
    assert run_to_end(store, world, clock).state is S.SUCCEEDED


def test_nothing_is_started_while_the_baseline_cannot_be_read(store: Store, world: World, clock: HandClock) -> None:
    world.prometheus_down = True
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.EXPIRED
    assert "Prometheus did not answer; nothing was changed" in done.reason
    assert untouched(world)


def test_a_canary_that_does_not_start_is_put_back(store: Store, world: World, clock: HandClock) -> None:
    world.engines[0].never_start_with_the_new_value()
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK
    assert "did not become ready within 60 s" in done.reason
    assert untouched(world)


def test_a_replica_that_does_not_start_takes_the_whole_rollout_back_last_one_first(
    store: Store, world: World, clock: HandClock
) -> None:
    world.engines[2].never_start_with_the_new_value()
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK
    assert untouched(world)
    restored = [row.detail for row in store.audit_of("w1") if row.kind == "restored"]
    assert [next(i for i in reversed(world.instances) if i in detail) for detail in restored] == [
        *reversed(world.instances)
    ]


def test_a_restart_command_that_fails_leads_back_and_says_what_it_said(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    run_until(store, world, clock, S.ROLLING_OUT)
    world.engines[1].refuse_to_restart()
    hands = reconciler(store, world, clock)
    while store.workflow("w1").state is S.ROLLING_OUT:
        hands.run_once()
    assert "the restart command ended with code 1" in store.workflow("w1").reason
    world.engines[1].refuse_to_restart(refuse=False)
    assert run_to_end(store, world, clock).state is S.ROLLED_BACK
    assert untouched(world)


def test_a_roll_back_that_cannot_be_done_says_exactly_what_to_do_and_can_be_tried_again(
    store: Store, world: World, clock: HandClock
) -> None:
    world.effect["new"] = 30.0
    approved(store, world)
    run_until(store, world, clock, S.ROLLING_BACK)
    world.engines[0].refuse_to_restart()
    failed = run_to_end(store, world, clock)
    assert failed.state is S.ROLLBACK_FAILED
    assert failed.due_at is None
    for part in (
        "`max-num-seqs: 8`",
        str(world.engines[0].config),
        "sh -c",
        "`optiinfra workflows cancel w1`",
        "ended with code 1",
    ):
        assert part in failed.reason
    world.engines[0].refuse_to_restart(refuse=False)
    again, event = move(failed, "cancel", clock.now(), actor="alice", reason="disk is free again")
    store.save(again, [event])
    assert run_to_end(store, world, clock).state is S.ROLLED_BACK
    assert untouched(world)


@pytest.mark.parametrize("state", [S.CANARY, S.ROLLING_OUT, S.VALIDATING])
def test_a_person_who_cancels_gets_every_replica_back_as_it_was(
    store: Store, world: World, clock: HandClock, state: WorkflowState
) -> None:
    approved(store, world)
    workflow = run_until(store, world, clock, state)
    cancelled, event = move(workflow, "cancel", clock.now(), actor="alice", reason="not today")
    store.save(cancelled, [event])
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK
    assert done.reason.startswith("not today")
    assert untouched(world)


def test_a_cancel_in_the_middle_of_a_restart_is_not_overwritten(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world)

    hands = reconciler(store, world, clock)
    command = hands._executors["command"]
    original = command.apply

    def apply_while_cancelled(replica: object, change: object) -> None:
        original(replica, change)  # type: ignore[arg-type] - passed through
        current = store.workflow("w1")
        cancelled, event = move(current, "cancel", clock.now(), actor="alice", reason="stop")
        store.save(cancelled, [event])

    command.apply = apply_while_cancelled  # type: ignore[method-assign] - the instant between intent and receipt
    hands.run_once()
    assert store.workflow("w1").state is S.ROLLING_BACK
    assert store.workflow("w1").replicas[0].phase is ReplicaPhase.APPLYING
    assert run_to_end(store, world, clock).state is S.ROLLED_BACK
    assert untouched(world)


def test_another_recommender_cannot_act_on_a_replica_that_is_being_changed(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    first, seen = reconciler(store, world, clock), []
    command = first._executors["command"]
    original = command.apply

    def apply_while_another_looks(*args: object) -> None:
        clock.advance(200)  # a slow restart, within the lease
        seen.append(store.claim_due(clock.now(), "recommender-2", timedelta(minutes=5)))
        original(*args)  # type: ignore[arg-type] - passed through

    command.apply = apply_while_another_looks  # type: ignore[method-assign] - the instant between intent and receipt
    first.run_once()
    assert seen == [None]
    assert store.workflow("w1").replicas[0].phase is ReplicaPhase.APPLIED


@pytest.mark.parametrize(("inter_token", "end"), [(0.09, S.SUCCEEDED), (0.2, S.ROLLED_BACK)])
def test_a_service_that_misses_an_objective_it_kept_before_is_taken_back(
    store: Store, world: World, clock: HandClock, inter_token: float, end: WorkflowState
) -> None:
    world.inter_token_with_new = inter_token
    approved(store, world, verification=make_verification(guards=()))
    done = run_to_end(store, world, clock)
    assert done.state is end
    if end is S.ROLLED_BACK:
        assert "inter-token latency p95 0.2 s against 50 ms: above 0.1 s" in done.reason
        assert done.verdicts[0].outcome is VerdictOutcome.PASS
        assert untouched(world)


def test_the_last_replica_that_serves_is_never_taken_down(store: Store, world: World, clock: HandClock) -> None:
    for engine in world.engines[1:]:
        engine.go_down()
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.EXPIRED
    assert "no other replica of chat is known to serve" in done.reason
    assert untouched(world)


def test_it_starts_as_soon_as_another_replica_serves(store: Store, world: World, clock: HandClock) -> None:
    for engine in world.engines[1:]:
        engine.go_down()
    approved(store, world)
    reconciler(store, world, clock).run_once()
    assert untouched(world)
    for engine in world.engines[1:]:
        engine.go_down(down=False)
    assert run_to_end(store, world, clock).state is S.SUCCEEDED


def test_a_changed_replica_that_stops_serving_ends_the_window_early(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    limits = Limits()
    hands = reconciler(store, world, clock, limits=limits)
    while store.workflow("w1").replicas[0].phase is not ReplicaPhase.READY:
        if not hands.run_once():
            clock.advance(2)
    world.engines[0].go_down()
    while store.workflow("w1").state is S.CANARY:
        if not hands.run_once():
            clock.advance(2)
    assert "stopped serving after the change" in store.workflow("w1").reason
    assert clock.now() < START + timedelta(seconds=60)
    world.engines[0].go_down(down=False)
    assert run_to_end(store, world, clock).state is S.ROLLED_BACK


def test_one_missed_health_check_does_not_end_anything(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world)
    hands = reconciler(store, world, clock, limits=Limits())
    while store.workflow("w1").replicas[0].phase is not ReplicaPhase.READY:
        if not hands.run_once():
            clock.advance(2)
    world.engines[0].go_down()
    hands.run_once()
    world.engines[0].go_down(down=False)
    assert run_to_end(store, world, clock, limits=Limits()).state is S.SUCCEEDED


def test_a_dry_run_ends_as_advice_and_touches_nothing(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world, executor="dry_run")
    done = run_to_end(store, world, clock)
    assert done.state is S.ADVISED
    assert done.reason.startswith("dry run: --max-num-seqs 8 -> 16 on 127.0.0.1:")
    assert done.verdicts == ()
    assert untouched(world)


def test_an_executor_that_does_not_exist_changes_nothing(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world, executor="kubernetes")
    done = run_to_end(store, world, clock)
    assert (done.state, "`kubernetes` does not exist" in done.reason) == (S.CANCELLED, True)


def test_a_configuration_changed_since_the_plan_stops_it(store: Store, world: World, clock: HandClock) -> None:
    world.engines[0].config.write_text("max-num-seqs: 12\n")
    approved(store, world)
    done = run_to_end(store, world, clock)
    assert done.state is S.CANCELLED
    assert "max-num-seqs is 12 now, the plan was made for 8" in done.reason
    assert world.engines[0].restarts == 0


def test_a_value_that_the_file_spells_otherwise_is_the_one_that_the_plan_was_made_for(
    store: Store, world: World, clock: HandClock
) -> None:
    world.engines[0].config.write_text("max_num_seqs: '8'\n")
    approved(store, world)
    run_to_end(store, world, clock)
    assert world.engines[0].restarts > 0


def test_a_restart_that_may_take_longer_than_the_lease_is_not_begun(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    hands = reconciler(store, world, clock)
    object.__setattr__(hands._hands._means, "lease", timedelta(seconds=20))
    hands.run_once()
    assert "is longer than a recommender may hold a workflow" in store.workflow("w1").reason
    assert untouched(world)


def test_an_approval_that_nobody_gives_expires(store: Store, world: World, clock: HandClock) -> None:
    plan = make_plan(instances=world.instances)
    expires = START + timedelta(hours=1)
    store.create(make_workflow(S.PENDING_APPROVAL, plan=plan, expires_at=expires, due_at=START), [])
    hands = reconciler(store, world, clock)
    assert hands.run_once()
    assert store.workflow("w1").due_at == expires
    assert not hands.run_once()
    clock.instant = expires
    assert hands.run_once()
    assert store.workflow("w1").state is S.EXPIRED


def test_there_is_nothing_to_do_when_nothing_is_due(store: Store, world: World, clock: HandClock) -> None:
    assert reconciler(store, world, clock, limits=FEW_STEPS).run_once() is False
