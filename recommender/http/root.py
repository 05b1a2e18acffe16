"""What lies outside the API: who we are, and our metrics."""

from importlib.metadata import version

from flask import Blueprint, Response, jsonify, render_template_string, request
from prometheus_client.exposition import choose_encoder

from recommender.http.context import context
from recommender.model import WorkflowState

root = Blueprint("root", __name__)

_LINKS = {
    "API description (OpenAPI 3)": "/openapi/openapi.json",
    "Health": "/api/v1/health/detailed",
    "Metrics": "/metrics",
}
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>OptiInfra</title></head>
<body>
<h1>OptiInfra recommender {{ version }}</h1>
<p>{% if pending %}{{ pending }} plan{{ "" if pending == 1 else "s" }} wait for a decision:
<code>optiinfra workflows list</code>{% else %}No plan waits for a decision.{% endif %}</p>
<ul>{% for text, link in links.items() %}<li><a href="{{ link }}">{{ text }}</a></li>{% endfor %}</ul>
</body>
</html>
"""


@root.get("/")
def index() -> Response | str:
    """A page for a browser, service info for anything else."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        pending = context().store.count_by_state().get(WorkflowState.PENDING_APPROVAL, 0)
        return render_template_string(_PAGE, version=version("optiinfra"), pending=pending, links=_LINKS)
    return jsonify({"service": "optiinfra-recommender", "version": version("optiinfra"), "api": "/api/v1", **_paths()})


@root.get("/metrics")
def metrics() -> Response:
    """Our own metrics, in the format that the scraper asks for."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(context().telemetry.registry), content_type=content_type)


def _paths() -> dict[str, str]:
    return {"openapi": "/openapi/openapi.json", "health": "/api/v1/health/detailed", "metrics": "/metrics"}
