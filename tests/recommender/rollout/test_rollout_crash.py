"""A kill at any point of a rollout: nothing is lost, nothing is applied twice, the first snapshot stays."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from recommender.ledger.record import ENDS
from recommender.model import WorkflowState
from tests.recommender.rollout.builders import HandClock
from tests.recommender.rollout.crash_points import Killed, Saboteur, sabotage
from tests.recommender.rollout.story import approved, kinds, open_store, run_to_end
from tests.recommender.rollout.world import NEW, OLD, World, reset, running_world

ROOT = Path(__file__).parents[3]
HELPS, HURTS = {"old": 8.0, "new": 1.0}, {"old": 8.0, "new": 30.0}
POINTS_WHEN_IT_HELPS, POINTS_WHEN_IT_HURTS = 50, 32  # that an undisturbed story passes; a test below counts them


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("engines")) as made:
        yield made


def kill() -> None:
    raise Killed


def told(tmp_path: Path, world: World, effect: dict[str, float], at: int | None) -> Saboteur:
    """Run the story, killed at point `at`, then go on with a new recommender; check what must hold either way."""
    reset(world)
    world.effect = effect
    clock, saboteur = HandClock(), Saboteur(at, kill)
    approved(open_store(tmp_path), world)
    with sabotage(saboteur), suppress(Killed):
        run_to_end(open_store(tmp_path), world, clock)
    store = open_store(tmp_path)
    ended = store.workflow("w1").state in ENDS
    assert bool(store.effects()) is ended  # what was measured is written with the end: never before, never without it
    done = run_to_end(store, world, clock)
    helped = effect is HELPS
    assert done.state is (WorkflowState.SUCCEEDED if helped else WorkflowState.ROLLED_BACK), done.reason
    for engine in world.engines:
        assert (engine.running, engine.config.read_text()) == ((NEW, NEW) if helped else (OLD, OLD))
        assert not list(engine.folder.glob("*.tmp"))
    for replica in done.replicas:
        assert replica.snapshot is None or replica.snapshot.content == OLD
    # A restart whose receipt the kill prevented is done again; nothing else is ever done twice.
    last = saboteur.passed[-2:]
    lost_receipt = at is not None and (last[-1] == "after restart" or last == ["before restart", "after file"])
    restarts = [engine.restarts for engine in world.engines]
    assert sum(restarts) == (3 if helped else 2) + lost_receipt, saboteur.passed[-3:]
    assert kinds(store).count("applied") == (3 if helped else 1)
    assert store.verify_audit().problem == ""
    measured = {one.metric: one for one in store.effects()}
    assert len(measured) == len(store.effects()) == 2  # errors and preemptions were none: no ratio
    assert measured["ttft_p95_seconds"].ratio == pytest.approx(effect["new"] / effect["old"])
    assert measured["ttft_p95_seconds"].state is done.state
    return saboteur


def test_the_stories_pass_as_many_points_as_are_tried(tmp_path: Path, world: World) -> None:
    (tmp_path / "helps").mkdir()
    (tmp_path / "hurts").mkdir()
    assert len(told(tmp_path / "helps", world, HELPS, None).passed) == POINTS_WHEN_IT_HELPS
    assert len(told(tmp_path / "hurts", world, HURTS, None).passed) == POINTS_WHEN_IT_HURTS


@pytest.mark.parametrize("point", range(POINTS_WHEN_IT_HELPS))
def test_a_kill_at_any_point_of_a_good_change_still_leads_to_success(tmp_path: Path, world: World, point: int) -> None:
    told(tmp_path, world, HELPS, point)


@pytest.mark.parametrize("point", range(POINTS_WHEN_IT_HURTS))
def test_a_kill_at_any_point_of_a_bad_change_still_leads_back(tmp_path: Path, world: World, point: int) -> None:
    told(tmp_path, world, HURTS, point)


@pytest.mark.process
@pytest.mark.parametrize(
    ("point", "restarts"),
    [
        ("after save 1", 1),  # the intent is stored, nothing is done
        ("after file 2", 1),  # the engine's file holds the new value, the engine does not
        ("after restart 1", 2),  # the engine runs with it, no receipt says so
        ("after save 2", 1),  # both receipts are there, the canary is starting
        ("before save 4", 1),  # while the canary is being judged
    ],
)
def test_a_sigkill_during_the_canary_loses_nothing_and_repeats_nothing(
    tmp_path: Path, world: World, point: str, restarts: int
) -> None:
    reset(world)
    world.effect = HELPS
    store = open_store(tmp_path)
    approved(store, world)
    engines = [f"{engine.folder}:{engine.port}" for engine in world.engines]

    def recommend(until: str) -> int:
        driver = [sys.executable, "-m", "tests.recommender.rollout.crash_driver", str(tmp_path), until, *engines]
        return subprocess.run(driver, cwd=ROOT, timeout=60, check=False).returncode

    assert recommend(point) == -signal.SIGKILL
    assert store.workflow("w1").state in {WorkflowState.CANARY, WorkflowState.APPROVED}
    assert recommend("none") == 0
    done = store.workflow("w1")
    assert done.state is WorkflowState.SUCCEEDED
    assert [engine.restarts for engine in world.engines] == [restarts, 1, 1]
    assert {replica.snapshot.content for replica in done.replicas if replica.snapshot} == {OLD}
