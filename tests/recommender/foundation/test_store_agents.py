"""Agents in the store, SQLite and PostgreSQL: one token speaks for one agent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest

from recommender.errors import Conflict, Forbidden, NotFound, RecommenderError
from recommender.registry.metrics import AgentsCollector
from recommender.registry.model import AgentState, Capabilities, Figures, Gpu, Heartbeat, Registration
from recommender.store import Database, Store
from recommender.store.agent_rows import FORGET_AFTER


def registration(agent_id: str = "node-1", seconds: float = 30) -> Registration:
    gpus = (Gpu(gpu="0", uuid="GPU-1", name="NVIDIA H100 80GB HBM3"),)
    return Registration(
        id=agent_id,
        hostname="node-1.example",
        version="1.2",
        exporter_url="http://node-1.example:8003",
        heartbeat_interval_seconds=seconds,
        capabilities=Capabilities(collectors=("cpu", "gpu"), probe=True, gpus=gpus),
    )


def test_what_an_agent_said_is_kept(store: Store, clock: Any) -> None:
    store.register_agent(registration(), "t1", clock.now())
    clock.advance(10)
    figures = Figures(uptime_seconds=12.5, collectors_ok={"gpu": False}, gpus_seen=8)
    store.agent_heartbeat(Heartbeat(id="node-1", figures=figures), "t1", clock.now())
    clock.advance(10)
    store.agent_heartbeat(Heartbeat(id="node-1"), "t1", clock.now())

    [agent] = store.agents()
    assert agent.registration == registration()
    assert (agent.token, agent.figures) == ("t1", figures)
    assert agent.last_seen_at - agent.registered_at == timedelta(seconds=20)


def test_registering_again_is_a_word_too_and_keeps_what_was_known(store: Store, clock: Any) -> None:
    first = store.register_agent(registration(), "t1", clock.now())
    store.agent_heartbeat(Heartbeat(id="node-1", figures=Figures(gpus_seen=1)), "t1", clock.now())
    clock.advance(60)
    again = store.register_agent(registration(seconds=5), "t1", clock.now())
    assert (again.registered_at, again.last_seen_at) == (first.registered_at, clock.now())
    assert store.agents() == [again]
    assert again.figures == Figures(gpus_seen=1)


def test_an_id_belongs_to_the_token_that_registered_it(store: Store, clock: Any) -> None:
    store.register_agent(registration(), "t1", clock.now())
    calls: list[Callable[[], object]] = [
        lambda: store.register_agent(registration(), "t2", clock.now()),
        lambda: store.agent_heartbeat(Heartbeat(id="node-1"), "t2", clock.now()),
        lambda: store.deregister_agent("node-1", "t2"),
    ]
    for call in calls:
        with pytest.raises(Forbidden, match="another token than 't2'"):
            call()
    store.deregister_agent("node-1", "t1")
    assert store.register_agent(registration(), "t2", clock.now()).token == "t2"


def test_a_token_speaks_for_one_agent_until_that_one_is_gone(store: Store, clock: Any) -> None:
    store.register_agent(registration("a"), "t1", clock.now())
    clock.advance(300)
    with pytest.raises(Conflict, match="'t1' speaks for agent 'a', which is not gone; make a token for each agent"):
        store.register_agent(registration("b"), "t1", clock.now())
    clock.advance(1)
    store.register_agent(registration("b"), "t1", clock.now())
    assert [agent.registration.id for agent in store.agents()] == ["b"]


def test_what_is_not_registered_is_not_found(store: Store, clock: Any) -> None:
    with pytest.raises(NotFound, match="no agent 'x'; register it"):
        store.agent_heartbeat(Heartbeat(id="x"), "t1", clock.now())
    with pytest.raises(NotFound):
        store.deregister_agent("x", "t1")


def test_who_is_silent_for_a_week_is_forgotten(store: Store, clock: Any) -> None:
    store.register_agent(registration("a"), "t1", clock.now())
    clock.advance(FORGET_AFTER.total_seconds() + 1)
    store.register_agent(registration("b"), "t2", clock.now())
    assert [agent.registration.id for agent in store.agents()] == ["b"]


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(-5, "alive"), (0, "alive"), (75, "alive"), (76, "late"), (300, "late"), (301, "gone"), (1e6, "gone")],
)
def test_the_state_is_the_age_of_the_last_word(store: Store, clock: Any, seconds: float, state: str) -> None:
    agent = store.register_agent(registration(), "t1", clock.now())
    assert agent.state(clock.now() + timedelta(seconds=seconds)) is AgentState(state)


def test_agents_are_counted_by_state(store: Store, clock: Any) -> None:
    registry = CollectorRegistry()
    registry.register(AgentsCollector(store, clock))
    assert b'optiinfra_agents{state="alive"} 0.0' in generate_latest(registry)
    store.register_agent(registration("a"), "t1", clock.now())
    clock.advance(200)
    store.register_agent(registration("b"), "t2", clock.now())
    text = generate_latest(registry)
    for line in (b'{state="alive"} 1.0', b'{state="late"} 1.0', b'{state="gone"} 0.0'):
        assert b"optiinfra_agents" + line in text


def test_registering_at_once_ends_with_one_agent_a_token(store: Store, database_url: str, clock: Any) -> None:
    other = Database(database_url)

    def register(number: int) -> str:
        chosen = Store(other) if number % 2 else store
        try:
            return chosen.register_agent(registration(f"a{number % 4}"), "t1", clock.now()).registration.id
        except RecommenderError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(register, range(16)))
    other.close()
    [agent] = store.agents()
    assert set(results) == {agent.registration.id, "Conflict"}


def test_a_database_of_the_first_version_gets_the_tables_and_keeps_its_rows(database_url: str, clock: Any) -> None:
    database = Database(database_url)
    database.migrate()
    Store(database).beat("watchdog", clock.now())
    with database.write() as connection:
        for table in ("agents", "effects"):
            connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    database.migrate()
    store = Store(database)
    store.register_agent(registration(), "t1", clock.now())
    assert (len(store.agents()), store.last_beat("watchdog")) == (1, clock.now())
    database.close()
