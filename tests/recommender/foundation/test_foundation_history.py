"""What the last day of a service does to its plan."""

from datetime import datetime

import pytest

from recommender.contracts import Sample, Series
from recommender.errors import PrometheusError
from tests.recommender.foundation.pipeline_world import World


class History:
    """A day of one replica: ITL of 20 ms and `beta` more for each request of the batch; or a Prometheus too slow."""

    def __init__(self, beta: float = 0.0005, *, slow: bool = False) -> None:
        self.beta = beta
        self.slow = slow

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        raise AssertionError(f"history is asked for ranges only, not for {query} at {at}")

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        if self.slow:
            raise PrometheusError("no answer in time")
        assert (end - start).total_seconds() / step_seconds > 1000
        batches = [1 + number % 8 for number in range(400)]
        itl = "itl" in query
        points = tuple((float(number), 0.02 + self.beta * b if itl else float(b)) for number, b in enumerate(batches))
        return [Series({"instance": "127.0.0.1:9001"}, points)]


def test_a_plan_keeps_to_the_latency_that_history_tells(world: World) -> None:
    world.fire()
    world.pipeline(history=History()).run_once()
    [workflow] = world.store.workflows()
    assert workflow.plan.change is not None
    assert workflow.plan.change.inputs["beta_seconds"] == pytest.approx(0.0005)
    assert "without a fitted model" not in workflow.plan.change.formula


def test_a_batch_that_history_shows_too_slow_is_not_raised(world: World) -> None:
    world.fire()
    # (0.1/1.2 - 0.02)/0.007 is nine slots, and more than eight would be worth a restart from twelve on.
    world.pipeline(history=History(beta=0.007)).run_once()
    [workflow] = world.store.workflows()
    assert workflow.plan.change is None
    assert "(itl_objective/1.2 - alpha)/beta" in " ".join(one.reason for one in workflow.plan.alternatives)


def test_a_history_that_does_not_answer_delays_no_plan(world: World) -> None:
    world.fire()
    world.pipeline(history=History(slow=True)).run_once()
    [workflow] = world.store.workflows()
    assert workflow.plan.change is not None
    assert "without a fitted model" in workflow.plan.change.formula
