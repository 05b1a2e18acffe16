"""Effect rows on a connection: written with a workflow's end, never pruned."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from recommender.ledger.model import Effect, SiteResult, sigma, succeeded
from recommender.ledger.record import effects_of
from recommender.model import VerdictOutcome, Workflow, WorkflowState
from recommender.store.schema import effects

_C = effects.c
_FIELDS = tuple(Effect.model_fields)
_LEARNT: tuple[sa.Column[Any], ...] = (
    *(_C.playbook, _C.engine, _C.gpu, _C.metric, _C.ratio, _C.ratio_low, _C.ratio_high),
    *(_C.promised, _C.state, _C.verdict, _C.predicted_mid),
)
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


def results(connection: sa.Connection, limit: int) -> tuple[SiteResult, ...]:
    """What later plans and metrics need of the newest effects: a few columns, because they are read at each look."""
    query = sa.select(*_LEARNT).order_by(_C.at.desc(), _C.workflow_id, _C.metric).limit(limit)
    return tuple(_result(row) for row in connection.execute(query))


def _result(row: sa.Row[Any]) -> SiteResult:
    state = WorkflowState(row.state)
    return SiteResult(
        playbook=row.playbook,
        engine=row.engine,
        gpu=row.gpu,
        metric=row.metric,
        ratio=row.ratio,
        sigma=sigma(row.ratio_low, row.ratio_high),
        succeeded=succeeded(promised=row.promised, state=state, verdict=VerdictOutcome(row.verdict)),
        predicted=row.predicted_mid,
        ended=state if row.promised else None,
    )


def _columns(effect: Effect) -> dict[str, object]:
    columns: dict[str, object] = effect.model_dump() | {name: json.dumps(getattr(effect, name)) for name in _VALUES}
    if effect.engine_version is not None:  # an engine's own word: PostgreSQL takes no text with a NUL
        columns["engine_version"] = effect.engine_version.replace("\x00", "")
    return columns


def _effect(row: sa.Row[tuple[object, ...]]) -> Effect:
    values = {name: row._mapping[name] for name in _FIELDS}  # noqa: SLF001 - SQLAlchemy's public name for it
    return Effect.model_validate(values | {name: json.loads(values[name]) for name in _VALUES})
