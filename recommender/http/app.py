"""The application factory."""

from importlib.metadata import version

from flask_openapi3.models.info import Info
from flask_openapi3.models.security_scheme import SecurityScheme
from flask_openapi3.openapi import OpenAPI

from recommender.http import (
    agents,
    alerts,
    discovery,
    effects,
    guard,
    health,
    problems,
    root,
    services,
    whatif,
    workflows,
)
from recommender.http.context import Context, attach

# The library's own page links to sites elsewhere; this one works offline.
_DESCRIPTION = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>OptiInfra API</title></head>
<body>
<h1>OptiInfra API</h1>
<p>OpenAPI 3 description: <a href="/openapi/openapi.json">/openapi/openapi.json</a></p>
<table>
{% for path, operations in described().items() %}{% for method, one in operations.items() %}
<tr><td><code>{{ method.upper() }}</code></td><td><code>{{ path }}</code></td><td>{{ one.summary }}</td></tr>
{% endfor %}{% endfor %}
</table>
</body>
</html>
"""


def create_app(parts: Context) -> OpenAPI:
    """A WSGI application over `parts`. The API's description is at /openapi/openapi.json."""
    app = OpenAPI(
        "optiinfra",
        info=Info(title="OptiInfra recommender", version=version("optiinfra")),
        security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")},
        validation_error_status=400,
        validation_error_model=problems.Problem,
        validation_error_callback=problems.validation_problem,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it
    app.config["OPENAPI_HTML_STRING"] = _DESCRIPTION
    app.jinja_env.globals["described"] = lambda: app.api_doc["paths"]
    app.config["MAX_CONTENT_LENGTH"] = parts.max_body_bytes
    attach(app.extensions, parts)
    problems.register(app)
    guard.register(app)
    for api in (
        alerts.api,
        services.api,
        whatif.api,
        workflows.api,
        effects.api,
        discovery.api,
        agents.api,
        health.api,
    ):
        app.register_api(api)
    app.register_blueprint(root.root)
    return app
