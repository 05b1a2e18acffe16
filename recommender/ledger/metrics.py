"""The ledger for Prometheus. Labels are playbooks, engines, metrics and states: closed sets, whatever a site runs."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recommender.errors import StoreUnavailable
from recommender.ledger.summary import agreements, endings
from recommender.store import Store


class EffectsCollector(Collector):
    """What was predicted of changes against what was measured, of the effects that later plans learn from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        """Nothing: the store is asked at scrapes only."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Gauges; none when the store cannot be read, no series of a playbook before its first result."""
        try:
            results = self._store.site_effects().results
        except StoreUnavailable:
            return
        labels = ["playbook", "engine", "metric"]
        ratio = GaugeMetricFamily(
            "optiinfra_effect_ratio",
            "New over old of a metric after changes, geometric mean: as predicted, and as measured of the same ones.",
            labels=[*labels, "source"],
        )
        count = GaugeMetricFamily(
            "optiinfra_effect_measurements", "Changes whose predicted effect on a metric was measured.", labels=labels
        )
        for key, agreement in agreements(results).items():
            ratio.add_metric([*key, "predicted"], agreement.predicted)
            ratio.add_metric([*key, "measured"], agreement.measured)
            count.add_metric([*key], agreement.count)
        yield ratio
        yield count
        ended = GaugeMetricFamily(
            "optiinfra_effect_rollouts",
            "Changes that were measured, by how their workflow ended.",
            labels=["playbook", "engine", "state"],
        )
        for key, number in endings(results).items():
            ended.add_metric([*key], number)
        yield ended
