"""What if a knob of a service had another value."""

from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from recommender.http.context import context
from recommender.http.guard import SECURITY
from recommender.http.problems import Problem
from recommender.whatif import WhatIf, Wish

api = APIBlueprint(
    "whatif", __name__, url_prefix="/api/v1/services", abp_tags=[Tag(name="services")], abp_security=SECURITY
)


class ServicePath(BaseModel):
    """Which service."""

    name: str


class WishBody(Wish):
    """Knobs by neutral name in neutral units, and the load to look at: what is left out stays as it is."""


@api.post(
    "/<name>/whatif",
    summary="Predict a service with other settings",
    responses={200: WhatIf, 400: Problem, 404: Problem, 503: Problem},
)
def whatif(path: ServicePath, body: WishBody) -> dict[str, Any]:
    """Reads Prometheus now and predicts one replica before and after. Nothing is changed."""
    answer = context().pipeline.what_if(path.name, Wish(**body.model_dump()))
    return answer.model_dump(mode="json")
