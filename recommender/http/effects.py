"""The effect ledger: what was predicted of changes, and what was measured."""

from typing import Annotated, Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field, StringConstraints

from recommender.http.context import context
from recommender.http.guard import SECURITY
from recommender.ledger import Effect
from recommender.store.effect_rows import EffectFilter

api = APIBlueprint(
    "effects", __name__, url_prefix="/api/v1/effects", abp_tags=[Tag(name="effects")], abp_security=SECURITY
)

_Word = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


class EffectList(BaseModel):
    """Effects, the newest first."""

    effects: list[Effect]


class EffectQuery(BaseModel):
    """Which effects."""

    playbook: _Word | None = None
    engine: _Word | None = None
    gpu: _Word | None = None
    service: _Word | None = None
    metric: _Word | None = None
    limit: int = Field(100, ge=1, le=1000)


@api.get("", summary="What changes did, against what was predicted", responses={200: EffectList})
def effects(query: EffectQuery) -> dict[str, Any]:
    """The newest first; one row a metric of a finished workflow. Rows are never pruned."""
    wanted = EffectFilter(**query.model_dump(exclude={"limit"}))
    return EffectList(effects=context().store.effects(wanted, query.limit)).model_dump(mode="json")
