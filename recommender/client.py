"""The recommender's API for the command line."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

TIMEOUT_SECONDS = 10.0


class ApiError(Exception):
    """The API did not do what was asked; the text is for a person."""


def read_token(file: Path | None) -> str | None:
    """The token in a file; None without one. Raises ApiError."""
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = "it is no text" if isinstance(exc, UnicodeDecodeError) else exc.strerror
        raise ApiError(f"cannot read the token file {file}: {reason}") from exc


class ApiClient:
    """Calls one recommender with one token. Raises ApiError."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        # A command asks once or twice: the server need not keep a connection for it.
        self._headers = {"Connection": "close"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def workflows(self, states: tuple[str, ...], service: str | None, limit: int) -> list[dict[str, Any]]:
        """Workflows, the newest first."""
        query: dict[str, Any] = {"limit": limit, "state": list(states)} | ({"service": service} if service else {})
        found: list[dict[str, Any]] = self._json("GET", "workflows", params=query)["workflows"]
        return found

    def workflow(self, workflow_id: str) -> dict[str, Any]:
        """One workflow with its events."""
        return self._json("GET", f"workflows/{workflow_id}")

    def effects(self, limit: int, **filters: str | None) -> list[dict[str, Any]]:
        """Effects of changes, the newest first; a filter that is None is left out."""
        query = {"limit": limit} | {name: value for name, value in filters.items() if value is not None}
        found: list[dict[str, Any]] = self._json("GET", "effects", params=query)["effects"]
        return found

    def plan(self, service: str) -> dict[str, Any]:
        """The plan that would be made now, with its diagnosis."""
        return self._json("GET", f"services/{quote(service, safe='')}/plan")

    def what_if(self, service: str, wish: dict[str, Any]) -> dict[str, Any]:
        """The prediction of a service with other settings."""
        return self._json("POST", f"services/{quote(service, safe='')}/whatif", json=wish)

    def decide(self, workflow_id: str, decision: str, comment: str) -> dict[str, Any]:
        """`approve`, `reject` or `cancel` a workflow."""
        return self._json("POST", f"workflows/{workflow_id}/{decision}", json={"comment": comment})

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on to requests
        if self._token and not (self._token.isascii() and self._token.isprintable()):
            raise ApiError("that is no token: it is one line, as `optiinfra tokens new` printed it")
        url = f"{self._url}/api/v1/{path}"
        try:
            answer = requests.request(method, url, timeout=TIMEOUT_SECONDS, headers=self._headers, **arguments)
        except requests.RequestException as exc:
            raise ApiError(
                f"{self._url} does not answer ({type(exc).__name__}); is the recommender running, is --url right?"
            ) from exc
        try:
            body: dict[str, Any] = answer.json()
        except ValueError as exc:
            raise ApiError(f"{url} answered {answer.status_code} without JSON; is --url a recommender?") from exc
        if answer.ok:
            return body
        hint = {
            401: "; set --token-file or OPTIINFRA_TOKEN_FILE to a file with your token",
            403: "; use a token with that role",
        }.get(answer.status_code, "")
        raise ApiError(f"{body.get('detail', answer.reason)}{hint}")
