"""Agent rows on a connection. One token speaks for one agent, so the tokens file bounds how many there can be."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from recommender.errors import Conflict, Forbidden, NotFound
from recommender.registry.model import Agent, AgentState, Figures, Heartbeat, Registration
from recommender.store.schema import agents

_C = agents.c
# Who was silent for so long is forgotten when the next one registers; should it speak again, it registers anew.
FORGET_AFTER = timedelta(days=7)


def register(connection: sa.Connection, registration: Registration, token: str, now: datetime) -> Agent:
    """Take an agent in, or anew. The caller maps IntegrityError.

    Raises Forbidden for an id that another token registered, Conflict while the token speaks for another agent, unless
    that one is gone.
    """
    connection.execute(sa.delete(agents).where(_C.last_seen_at < now - FORGET_AFTER))
    known = _own(connection, registration.id, token)
    _free(connection, registration.id, token, now)
    agent = Agent(
        registration=registration,
        token=token,
        registered_at=known.registered_at if known else now,
        last_seen_at=now,
        figures=known.figures if known else None,
    )
    values = {
        "last_seen_at": now,
        "registration": registration.model_dump_json(),
        "token": token,
        "registered_at": agent.registered_at,
    }
    if known is None:
        connection.execute(sa.insert(agents).values(id=registration.id, **values))
    else:
        connection.execute(sa.update(agents).where(_C.id == registration.id).values(**values))
    return agent


def heartbeat(connection: sa.Connection, beat: Heartbeat, token: str, now: datetime) -> Agent:
    """Note that an agent lives. Raises NotFound for one that is not registered, Forbidden for another token's."""
    known = _own(connection, beat.id, token)
    if known is None:
        raise NotFound(f"there is no agent '{beat.id}'; register it")
    figures = beat.figures or known.figures
    values = {"last_seen_at": now, "figures": figures.model_dump_json() if figures else None}
    connection.execute(sa.update(agents).where(_C.id == beat.id).values(**values))
    return known.model_copy(update={"last_seen_at": now, "figures": figures})


def deregister(connection: sa.Connection, agent_id: str, token: str) -> None:
    """Forget an agent. Raises NotFound for one that is not registered, Forbidden for another token's."""
    if _own(connection, agent_id, token) is None:
        raise NotFound(f"there is no agent '{agent_id}'")
    connection.execute(sa.delete(agents).where(_C.id == agent_id))


def find(connection: sa.Connection) -> list[Agent]:
    """All agents, by id."""
    return [_agent(row) for row in connection.execute(sa.select(agents).order_by(_C.id))]


def _own(connection: sa.Connection, agent_id: str, token: str) -> Agent | None:
    """The agent of that id, locked until the transaction ends; None where there is none. Raises Forbidden."""
    row = connection.execute(sa.select(agents).where(_C.id == agent_id).with_for_update()).one_or_none()
    if row is None:
        return None
    if row.token != token:
        raise Forbidden(f"agent '{agent_id}' was registered with another token than '{token}'")
    return _agent(row)


def _free(connection: sa.Connection, agent_id: str, token: str, now: datetime) -> None:
    """Let `token` speak for `agent_id`: a former agent of it that is gone makes way. Raises Conflict."""
    row = connection.execute(
        sa.select(agents).where(_C.token == token, _C.id != agent_id).with_for_update()
    ).one_or_none()
    if row is None:
        return
    if _agent(row).state(now) is not AgentState.GONE:
        raise Conflict(
            f"token '{token}' speaks for agent '{row.id}', which is not gone; make a token for each agent: "
            f"optiinfra tokens new --name {agent_id} --role agent"
        )
    connection.execute(sa.delete(agents).where(_C.id == row.id))


def _agent(row: sa.Row[tuple[object, ...]]) -> Agent:
    return Agent(
        registration=Registration.model_validate_json(row.registration),
        token=row.token,
        registered_at=row.registered_at,
        last_seen_at=row.last_seen_at,
        figures=None if row.figures is None else Figures.model_validate_json(row.figures),
    )
