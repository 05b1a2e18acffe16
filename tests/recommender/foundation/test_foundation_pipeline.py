"""Incidents to plans, with a moved clock, a real store, and Prometheus's answers from the stub."""

from datetime import timedelta
from typing import Any

import pytest

from recommender.errors import Conflict, PrometheusError
from recommender.intake.model import IncidentOutcome
from recommender.inventory import Inventory
from recommender.model import Comparison, ReplicaProgress, Verdict, VerdictOutcome, WorkflowState
from tests.recommender.foundation.pipeline_world import World
from tests.recommender.foundation.stub_prometheus import (
    healthy_service,
    limited_service,
)


def test_an_alert_becomes_one_pending_plan_with_its_audit_row(world: World) -> None:
    world.fire()
    world.clock.advance(1.5)
    assert world.pipeline().run_once()
    [workflow] = world.store.workflows()
    assert (workflow.state, workflow.incident_id) == (WorkflowState.PENDING_APPROVAL, world.incident().id)
    assert workflow.expires_at == workflow.due_at == world.clock.now() + timedelta(hours=1)
    assert (world.incident().outcome, world.incident().workflow_id) == (IncidentOutcome.PLANNED, workflow.id)
    assert [row.kind for row in world.store.audit_of(workflow.id)] == ["created"]
    assert world.latencies == [1.5]
    assert not world.pipeline().run_once()


def test_an_automatic_policy_approves_by_itself(world: World) -> None:
    chat = world.inventory.services["chat"]
    policy = chat.policy.model_copy(update={"approval": "auto"})
    inventory = Inventory(services={"chat": chat.model_copy(update={"policy": policy})})
    world.fire()
    world.pipeline(inventory).run_once()
    [workflow] = world.store.workflows()
    assert (workflow.state, workflow.decided_by, workflow.due_at) == ("approved", "optiinfra", world.clock.now())
    assert [row.to_state for row in world.store.audit_of(workflow.id)] == ["pending_approval", "approved"]


def test_more_alerts_of_a_service_join_its_workflow_without_a_query(world: World) -> None:
    world.fire()
    pipeline = world.pipeline()
    pipeline.run_once()
    asked = world.prometheus.queries
    world.fire("bbbb", alertname="LLMHighTTFT")
    pipeline.run_once()
    assert {one.outcome for one in world.store.incidents()} == {IncidentOutcome.PLANNED}
    assert len(world.store.workflows()) == 1
    assert world.prometheus.queries == asked


def test_an_unreachable_prometheus_is_asked_again_with_back_off(world: World) -> None:
    world.prometheus.broken = True
    world.fire()
    pipeline = world.pipeline()
    waits = []
    for _ in range(9):
        assert pipeline.run_once()
        incident = world.incident()
        assert (incident.outcome, incident.due_at is None) == (IncidentOutcome.PROMETHEUS_UNREACHABLE, False)
        waits.append((incident.due_at - world.clock.now()).total_seconds())  # type: ignore[operator]  # asserted above
        assert not pipeline.run_once()
        world.clock.advance(waits[-1])
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    world.prometheus.broken = False
    assert pipeline.run_once()
    assert world.states() == ["pending_approval"]


def test_an_alert_that_prometheus_does_not_confirm_is_looked_at_again_while_it_fires(world: World) -> None:
    world.prometheus.series = healthy_service()
    world.fire()
    pipeline = world.pipeline()
    pipeline.run_once()
    assert world.incident().outcome == IncidentOutcome.NOT_CONFIRMED
    assert world.states() == []
    world.clock.advance(6)
    world.prometheus.series = limited_service()
    pipeline.run_once()
    assert world.states() == ["pending_approval"]


def test_only_a_changed_outcome_is_written_to_the_audit_log(world: World) -> None:
    world.prometheus.series = healthy_service()
    world.fire()
    pipeline = world.pipeline()
    for _ in range(3):
        pipeline.run_once()
        world.clock.advance(600)
    assert [row.kind for row in world.store.audit_of("")] == ["incident_not_confirmed"]


@pytest.mark.parametrize("trigger", ["reject", "cancel", "expire"])
def test_a_decided_plan_comes_back_only_after_the_cool_down(world: World, trigger: str) -> None:
    world.fire()
    pipeline = world.pipeline()
    pipeline.run_once()
    world.decide(trigger)
    for _ in range(5):
        world.clock.advance(300)
        pipeline.run_once()
        assert len(world.states()) == 1
    assert world.incident().outcome == IncidentOutcome.REFUSED
    world.clock.advance(601)
    pipeline.run_once()
    assert world.states()[0] == "pending_approval"
    assert len(world.states()) == 2


def test_a_finished_change_cools_down_before_the_next_plan(world: World, make_workflow: Any) -> None:
    done = make_workflow("done", state=WorkflowState.SUCCEEDED, at=world.clock.now())
    world.store.create(done, [])
    world.fire()
    pipeline = world.pipeline()
    pipeline.run_once()
    assert world.incident().outcome == IncidentOutcome.REFUSED
    assert "cooldown" in world.incident().reason
    world.clock.advance(1801)
    pipeline.run_once()
    assert "pending_approval" in world.states()


def test_a_failed_roll_back_stops_all_further_plans(world: World, make_workflow: Any) -> None:
    world.store.create(make_workflow("bad", state=WorkflowState.ROLLBACK_FAILED, at=world.clock.now()), [])
    world.fire()
    world.clock.advance(7200)
    world.pipeline().run_once()
    assert world.incident().outcome == IncidentOutcome.REFUSED
    assert "mend its replicas" in world.incident().reason


def test_an_unknown_service_gets_the_same_advice_once(world: World) -> None:
    world.prometheus.series = limited_service("stranger")
    world.fire(service="stranger")
    pipeline = world.pipeline()
    for _ in range(3):
        pipeline.run_once()
        world.clock.advance(300)
    assert world.states() == ["advised"]
    assert world.incident().outcome == IncidentOutcome.ADVISED


def test_an_alert_of_a_node_is_looked_at_for_a_service_on_it(world: World) -> None:
    world.fire(service="", node="n1", alertname="HostCPUSaturation", bottleneck="host_cpu_saturation")
    world.pipeline().run_once()
    assert world.incident().outcome == IncidentOutcome.NOT_CONFIRMED
    assert world.incident().reason.startswith("chat:")


def test_an_alert_of_nothing_that_we_know_is_put_aside(world: World) -> None:
    world.fire(service="", node="elsewhere", bottleneck="nonsense")
    pipeline = world.pipeline()
    pipeline.run_once()
    assert (world.incident().outcome, world.incident().due_at) == (IncidentOutcome.NO_SERVICE, None)
    assert world.prometheus.queries == 0


def test_a_label_that_names_no_bottleneck_of_ours_changes_nothing(world: World) -> None:
    world.fire(bottleneck="'; rm -rf /", executor="command", knob="x")
    world.pipeline().run_once()
    [workflow] = world.store.workflows()
    assert workflow.plan.change is not None
    assert workflow.plan.change.knob == "max_running_requests"
    assert workflow.plan.executor == "dry_run"


def test_two_recommenders_make_one_plan(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fire("aaaa")
    first, second = world.pipeline(owner="one"), world.pipeline(owner="two")
    create = world.store.create

    def slow(*arguments: Any) -> Any:  # the other one is faster, between our looking and our writing
        monkeypatch.setattr(world.store, "create", create)
        world.fire("bbbb")
        second.run_once()
        return create(*arguments)

    monkeypatch.setattr(world.store, "create", slow)
    first.run_once()
    assert [one.id for one in world.store.workflows()] == ["two1"]
    assert {one.workflow_id for one in world.store.incidents()} == {"two1"}


def test_an_unforeseen_error_puts_the_incident_aside_and_is_raised(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fire()
    pipeline = world.pipeline()
    with monkeypatch.context() as patched:
        patched.setattr("recommender.pipeline.diagnose", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipeline.run_once()
    assert world.incident().outcome == IncidentOutcome.FAILED
    assert not pipeline.run_once()
    world.clock.advance(6)
    assert pipeline.run_once()
    assert world.states() == ["pending_approval"]


def test_a_live_diagnosis_says_when_prometheus_cannot_be_asked(world: World) -> None:
    evidence, diagnosis = world.pipeline().diagnosis("chat")
    assert evidence.service == diagnosis.service == "chat"
    world.prometheus.broken = True
    with pytest.raises(PrometheusError):
        world.pipeline().diagnosis("chat")


def test_one_workflow_a_service_also_holds_in_the_database(world: World, make_workflow: Any) -> None:
    world.fire()
    world.pipeline().run_once()
    with pytest.raises(Conflict):
        world.store.create(make_workflow("x"), [])


def test_an_alert_that_fires_for_days_gets_its_advice_once(world: World) -> None:
    world.prometheus.series = limited_service("stranger")
    world.fire(service="stranger")
    pipeline = world.pipeline()
    for _ in range(20):
        pipeline.run_once()
        world.clock.advance(7200)
    assert world.states() == ["advised"]


def test_a_service_that_comes_into_the_inventory_gets_its_plan_though_it_was_advised(world: World) -> None:
    world.fire()
    world.pipeline(Inventory()).run_once()
    assert world.states() == ["advised"]
    world.clock.advance(60)
    world.pipeline(owner="restarted").run_once()
    assert sorted(world.states()) == ["advised", "pending_approval"]


def test_the_wait_for_a_plan_is_counted_from_when_the_alert_came_back(world: World) -> None:
    world.fire()
    start = world.clock.now()
    for again, status in enumerate(("resolved", "firing")):
        world.clock.advance(3600)
        alert = world.make_alert(status=status, starts_at=start)
        world.store.record(world.make_delivery(alert, key=f"again{again}"), world.clock.now(), 100)
    world.clock.advance(1)
    world.pipeline().run_once()
    assert world.latencies == [1.0]


def test_a_plan_is_made_with_what_changes_did_here_before(world: World) -> None:
    world.fire()
    world.pipeline().run_once()
    [first] = world.store.workflows()
    figures = {"canary": 0.95, "control": 1.0, "ratio": 0.95, "outcome": VerdictOutcome.PASS, "text": ""}
    assert first.plan.verification is not None
    goal = first.plan.verification.must_improve
    verdict = Verdict(
        outcome=VerdictOutcome.PASS,
        at=world.clock.now(),
        window_seconds=900,
        comparisons=(Comparison(metric=goal.metric, **figures),),
        text="",
    )
    served = ReplicaProgress(
        instance="127.0.0.1:9001", applied_at=world.clock.now(), ready_at=world.clock.now() + timedelta(seconds=42)
    )
    ended = {"state": WorkflowState.SUCCEEDED, "verdicts": (verdict,), "replicas": (served,)}
    world.store.save(first.model_copy(update=ended), [])
    world.clock.advance(7200)
    world.pipeline(owner="later").run_once()
    [second] = world.store.workflows((WorkflowState.PENDING_APPROVAL,))
    assert second.plan.verification is not None
    corrected = second.plan.verification.must_improve
    assert "corrected by 1 rollout at this site" in corrected.source
    assert corrected.mid is not None
    assert goal.mid is not None
    assert goal.mid < corrected.mid < 0.95
    assert second.plan.restart is not None
    assert second.plan.restart.seconds == 42
