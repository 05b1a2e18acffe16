"""Generates `rules/service_thresholds.yml`: the figure that holds for each service, its own or the one for all."""

from pathlib import Path

import yaml

from rules.catalog import THRESHOLDS, Threshold
from rules.generate.document import HEADER, Rule, RuleDumper

SERVICE_THRESHOLDS_FILE = Path(__file__).parent / "service_thresholds.yml"
KNOWN_SERVICES = "service:llm_up:max10m"

_NOTES = """\
# The figure that holds for each service: thresholds.yml has its own, with a label `service`, or else the one for all.
# A service is known by its replicas, whether they answer or not, and for ten minutes after the last was heard of.
"""


def service_thresholds_rules() -> str:
    """The text of `rules/service_thresholds.yml`."""
    known: Rule = {"record": KNOWN_SERVICES, "expr": "max by (service) (max_over_time(replica:llm_up[10m]))"}
    rules = [known, *(_resolved(threshold) for threshold in THRESHOLDS.values() if threshold.per_service)]
    groups = [{"name": "service_thresholds", "interval": "30s", "rules": rules}]
    return HEADER + _NOTES + yaml.dump({"groups": groups}, Dumper=RuleDumper, sort_keys=False, width=120)


def _resolved(threshold: Threshold) -> Rule:
    own = f'max by (service) ({threshold.series}{{service!=""}})'
    default = f'0 * {KNOWN_SERVICES} + on () group_left () {threshold.series}{{service=""}}'
    return {"record": threshold.resolved, "expr": f"{own}\nor\n{default}"}
