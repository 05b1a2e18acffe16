"""Signals that were evaluated, behind the protocol by which evidence and history are read from a Prometheus."""

import math
from collections.abc import Sequence
from datetime import datetime

from recommender.contracts import PromQL, Sample, Series
from recommender.errors import PrometheusError
from rules.inline.inliner import Inliner
from rules.inline.matchers import matches
from rules.inline.piece import Refused
from rules.syntax import Series as Selector
from rules.syntax import parse


class Snapshot(PromQL):
    """Selectors are answered from `samples`; whatever else is asked is inlined and put to `client`."""

    def __init__(self, samples: Sequence[Sample], inliner: Inliner, client: PromQL) -> None:
        self._samples = samples
        self._inliner = inliner
        self._client = client

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        """Instant query; a selector is answered as of the snapshot's instant. NaN samples are left out."""
        node = parse(query, whole=True)
        if not isinstance(node, Selector):
            text = self._inlined(query)
            return self._client.instant(text, at) if text else []
        wanted = [*node.matchers, *([("__name__", "=", node.name)] if node.name else [])]
        return [
            one
            for one in self._samples
            if not math.isnan(one.value)
            and all(matches(one.labels.get(label, ""), operator, value) for label, operator, value in wanted)
        ]

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """Range query of inlined signals. Raises PrometheusError."""
        text = self._inlined(query)
        return self._client.range(text, start, end, step_seconds) if text else []

    def _inlined(self, query: str) -> str:
        try:
            piece = self._inliner.expression(query)
        except Refused as refused:
            raise PrometheusError(f"not without the recording rules: {refused}") from refused
        return piece.text if piece else ""
