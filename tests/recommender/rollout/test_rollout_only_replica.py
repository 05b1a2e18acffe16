"""Rollouts of a service with one replica: whose word they need, and what they are compared with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recommender.model import WorkflowState
from recommender.store import Store
from tests.recommender.rollout.builders import HandClock
from tests.recommender.rollout.story import approved, open_store, run_to_end, run_until
from tests.recommender.rollout.world import NEW, World, running_world, untouched

S = WorkflowState


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[World]:
    """One replica, whose owner allows that it restarts."""
    with running_world(tmp_path / "one", replicas=1) as made:
        made.may_restart_alone = True
        yield made


def test_a_single_replica_is_compared_with_itself_before(alone: World, store: Store, clock: HandClock) -> None:
    approved(store, alone)
    done = run_to_end(store, alone, clock)
    assert done.state is S.SUCCEEDED
    assert "against the same replica before" in done.verdicts[0].text
    assert (alone.engines[0].running, alone.engines[0].restarts) == (NEW, 1)


def test_a_single_replica_that_gets_worse_is_put_back(alone: World, store: Store, clock: HandClock) -> None:
    alone.effect["new"] = 30.0
    approved(store, alone)
    assert run_to_end(store, alone, clock).state is S.ROLLED_BACK
    assert untouched(alone)


def test_the_only_replica_is_left_alone_without_its_owners_word(alone: World, store: Store, clock: HandClock) -> None:
    alone.may_restart_alone = False
    approved(store, alone)  # of a time when it had siblings, or the key
    done = run_to_end(store, alone, clock)
    assert (done.state, "allow_restart_of_last_replica is not set" in done.reason) == (S.EXPIRED, True)
    assert (untouched(alone), alone.engines[0].restarts) == (True, 0)


def test_the_only_replica_is_put_back_though_its_owner_took_the_word_back(
    alone: World, store: Store, clock: HandClock
) -> None:
    alone.effect["new"] = 30.0
    approved(store, alone)
    run_until(store, alone, clock, S.ROLLING_BACK)
    alone.may_restart_alone = False
    assert run_to_end(store, alone, clock).state is S.ROLLED_BACK
    assert untouched(alone)
