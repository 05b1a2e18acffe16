"""What the story knows: figures and alerts from Prometheus, workflows from the recommender."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT_SECONDS = 5.0


class Unreadable(Exception):
    """A server did not answer, or not as it should."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A service at one instant, over the last minute; None where Prometheus knows nothing."""

    running: float | None
    waiting: float | None
    tokens_per_second: float | None
    ttft_p95_seconds: float | None
    itl_p95_seconds: float | None


SIGNALS = {
    "running": "service:llm_requests_running:sum",
    "waiting": "service:llm_requests_waiting:sum",
    "tokens_per_second": "service:llm_generation_tokens:rate1m",
    "ttft_p95_seconds": "service:llm_ttft_seconds:p95_1m",
    "itl_p95_seconds": "service:llm_itl_seconds:p95_1m",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One active alert of a service."""

    name: str
    state: str
    instance: str
    summary: str


class Prometheus:
    """The queries that the story makes."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self._url = url
        self._session = session

    def ready(self) -> bool:
        """Whether it serves queries."""
        return _answers(self._session, f"{self._url}/-/ready")

    def figures(self, service: str) -> Figures:
        """Read all figures in one query; raises Unreadable."""
        names = "|".join(SIGNALS.values())
        found = self._get("query", query=f'{{__name__=~"{names}",service="{service}"}}')["result"]
        by_name = {sample["metric"]["__name__"]: float(sample["value"][1]) for sample in found}
        known = {field: by_name.get(name) for field, name in SIGNALS.items()}
        return Figures(
            **{field: value if value is None or math.isfinite(value) else None for field, value in known.items()}
        )

    def alerts(self, services: Sequence[str]) -> list[Alert]:
        """Pending and firing alerts of these services; raises Unreadable."""
        return [
            Alert(
                labels["alertname"], alert["state"], labels.get("instance", ""), alert["annotations"].get("summary", "")
            )
            for alert in self._get("alerts")["alerts"]
            if (labels := alert["labels"]).get("service") in services
        ]

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        body = _json(self._session, f"{self._url}/api/v1/{path}", params=parameters)
        data = body.get("data")
        if not isinstance(data, dict):
            raise Unreadable(f"Prometheus: {body.get('error', 'an answer without data')}")
        return data


class Recommender:
    """The recommender's API with one token."""

    def __init__(self, url: str, session: requests.Session, token: str) -> None:
        self._url = url
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    def ready(self) -> bool:
        """Whether it answers and says that it lives."""
        return _answers(self._session, f"{self._url}/api/v1/health/live")

    def workflows(self) -> list[dict[str, Any]]:
        """All workflows; raises Unreadable."""
        found = self._json("GET", "workflows").get("workflows")
        if not isinstance(found, list):
            raise Unreadable("the recommender's answer holds no list of workflows")
        return found

    def incidents(self) -> list[dict[str, Any]]:
        """The alerts that the recommender has been told of and that still fire; raises Unreadable."""
        found = self._json("GET", "alerts", params={"open": "true"}).get("incidents")
        if not isinstance(found, list):
            raise Unreadable("the recommender's answer holds no list of incidents")
        return found

    def workflow(self, workflow_id: str) -> dict[str, Any]:
        """One workflow; raises Unreadable."""
        return self._json("GET", f"workflows/{workflow_id}")

    def approve(self, workflow_id: str, comment: str) -> None:
        """Approve with this token; raises Unreadable with the recommender's reason."""
        self._json("POST", f"workflows/{workflow_id}/approve", json={"comment": comment})

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on to requests
        return _json(self._session, f"{self._url}/api/v1/{path}", method, headers=self._headers, **arguments)


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=TIMEOUT_SECONDS).ok
    except requests.RequestException:
        return False


def _json(session: requests.Session, url: str, method: str = "GET", **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on to requests
    try:
        answer = session.request(method, url, timeout=TIMEOUT_SECONDS, **arguments)
        body = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise Unreadable(f"{method} {url}: {error}") from error
    if not answer.ok:
        raise Unreadable(f"{method} {url}: {answer.status_code} {body.get('detail') or body}")
    if not isinstance(body, dict):
        raise Unreadable(f"{method} {url}: the answer is no object")
    return body
