"""Effect rows on a connection: written with a workflow's end, never pruned."""

import json
from dataclasses import dataclass

import sqlalchemy as sa

from recommender.ledger.model import Effect
from recommender.ledger.record import effects_of
from recommender.model import Workflow
from recommender.store.schema import effects

_C = effects.c
_FIELDS = tuple(Effect.model_fields)
_VALUES = ("old", "new")  # of any type a knob has: kept as JSON


@dataclass(frozen=True, slots=True)
class EffectFilter:
    """Which effects; None is any."""

    playbook: str | None = None
    engine: str | None = None
    gpu: str | None = None
    service: str | None = None
    metric: str | None = None


def record(connection: sa.Connection, workflow: Workflow) -> None:
    """Write what `workflow` measured, when it is over. Writing again replaces."""
    found = effects_of(workflow)
    if not found:
        return
    connection.execute(sa.delete(effects).where(_C.workflow_id == workflow.id))
    connection.execute(sa.insert(effects), [_columns(one) for one in found])


def find(connection: sa.Connection, wanted: EffectFilter, limit: int) -> list[Effect]:
    """Effects, the newest first."""
    query = sa.select(effects).order_by(_C.at.desc(), _C.workflow_id, _C.metric).limit(limit)
    for column, value in (
        (_C.playbook, wanted.playbook),
        (_C.engine, wanted.engine),
        (_C.gpu, wanted.gpu),
        (_C.service, wanted.service),
        (_C.metric, wanted.metric),
    ):
        if value is not None:
            query = query.where(column == value)
    return [_effect(row) for row in connection.execute(query)]


def _columns(effect: Effect) -> dict[str, object]:
    columns: dict[str, object] = effect.model_dump() | {name: json.dumps(getattr(effect, name)) for name in _VALUES}
    if effect.engine_version is not None:  # an engine's own word: PostgreSQL takes no text with a NUL
        columns["engine_version"] = effect.engine_version.replace("\x00", "")
    return columns


def _effect(row: sa.Row[tuple[object, ...]]) -> Effect:
    values = {name: row._mapping[name] for name in _FIELDS}  # noqa: SLF001 - SQLAlchemy's public name for it
    return Effect.model_validate(values | {name: json.loads(values[name]) for name in _VALUES})
