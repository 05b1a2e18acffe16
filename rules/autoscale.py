"""Manifests that let Kubernetes scale a service by its desired count of replicas.

The count is `service:llm_replicas_desired:count` of `rules/capacity.yml`. Both make a HorizontalPodAutoscaler aim at an
average of 1 for each replica, so that it wants as many as the count says. How fast it may follow is the same for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from rules.generate.document import RuleDumper

DESIRED = "service:llm_replicas_desired:count"
EXTERNAL_METRIC = "optiinfra_replicas_desired"

LONGEST_PERIOD_SECONDS = 1800  # of a behaviour policy

_SETTLING_SECONDS = 300  # tuning §5.2: what most systems wait before they scale down
_SCALE_DOWN_SECONDS = 900  # one pod, and not another before its load has settled on the others
_POLLING_SECONDS = 30  # the count is recorded each minute: a new one waits half of that at most
_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """What is scaled, by which service's count, within which bounds. `start_seconds`: until a new replica serves."""

    service: str
    target: str
    kind: str
    namespace: str
    minimum: int
    maximum: int
    start_seconds: int

    @property
    def metadata(self) -> dict[str, Any]:
        """The target's name and namespace: there is one autoscaler for each."""
        return {
            "name": self.target,
            **({"namespace": self.namespace} if self.namespace else {}),
            "labels": {"app.kubernetes.io/part-of": "optiinfra"},
        }

    @property
    def scale_target(self) -> dict[str, str]:
        """What is scaled."""
        return {"apiVersion": "apps/v1", "kind": self.kind, "name": self.target}

    @property
    def behavior(self) -> dict[str, Any]:
        """Up at once, at most to twice as many in the time that one takes to start; down by one, and slowly."""
        return {
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": self.start_seconds},
                    {"type": "Pods", "value": 1, "periodSeconds": self.start_seconds},
                ],
            },
            "scaleDown": {
                "stabilizationWindowSeconds": _SETTLING_SECONDS,
                "selectPolicy": "Min",
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": _SCALE_DOWN_SECONDS}],
            },
        }


def query(service: str) -> str:
    """The desired count of a service in PromQL: one number, or nothing when nothing is known for an hour."""
    escaped = service.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'max({DESIRED}{{service="{escaped}"}})'


def scaled_object(scaling: Autoscaling, prometheus_url: str) -> dict[str, Any]:
    """The ScaledObject of KEDA."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": scaling.metadata,
        "spec": {
            "scaleTargetRef": scaling.scale_target,
            "pollingInterval": _POLLING_SECONDS,
            "cooldownPeriod": _SETTLING_SECONDS,
            "minReplicaCount": scaling.minimum,
            "maxReplicaCount": scaling.maximum,
            # A KEDA that knows no `behavior` here takes the number: too many replicas rather than too few.
            "fallback": {"failureThreshold": _FAILURES, "replicas": scaling.maximum, "behavior": "currentReplicas"},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": scaling.behavior}},
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": prometheus_url,
                        "query": query(scaling.service),
                        "threshold": "1",
                        "activationThreshold": "0",
                        "ignoreNullValues": "false",
                    },
                }
            ],
        },
    }


def horizontal_pod_autoscaler(scaling: Autoscaling) -> dict[str, Any]:
    """The HorizontalPodAutoscaler that reads the count as an external metric."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": scaling.metadata,
        "spec": {
            "scaleTargetRef": scaling.scale_target,
            "minReplicas": scaling.minimum,
            "maxReplicas": scaling.maximum,
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {
                            "name": EXTERNAL_METRIC,
                            "selector": {"matchLabels": {"service": scaling.service}},
                        },
                        "target": {"type": "AverageValue", "averageValue": "1"},
                    },
                }
            ],
            "behavior": scaling.behavior,
        },
    }


def adapter_rule() -> dict[str, Any]:
    """What prometheus-adapter needs in its configuration to serve the external metric, for all services."""
    return {
        "externalRules": [
            {
                "seriesQuery": f'{{__name__="{DESIRED}",service!=""}}',
                "resources": {"namespaced": False},
                "name": {"matches": f"^{DESIRED}$", "as": EXTERNAL_METRIC},
                "metricsQuery": "max(<<.Series>>{<<.LabelMatchers>>}) by (service)",
            }
        ]
    }


_KEDA_NOTES = """\
What must be set up: KEDA in the cluster; a Prometheus at serverAddress that runs the rules of OptiInfra (optiinfra
export prometheus|operator) and knows the service by this name; where that Prometheus asks who reads it, a
TriggerAuthentication that the trigger names (authenticationRef). No other autoscaler may have this target.

ignoreNullValues is "false": a query without an answer is an error, and the number of pods is held; "true" would mean 0.
The count never falls because something is missing. How it is made: docs/autoscaling.md.
"""
_HPA_NOTES = """\
What must be set up: something that serves the external metrics API from a Prometheus that runs the rules of OptiInfra
and knows the service by this name. With prometheus-adapter, add this to its configuration (in the values of its Helm
chart the list goes below rules.external):

{rule}
While the metric is missing the number of pods is held; the count itself never falls because something is missing. How
it is made: docs/autoscaling.md.
"""


def keda_manifest(scaling: Autoscaling, prometheus_url: str) -> str:
    """The ScaledObject as a YAML document, with what must be set up as comments."""
    return _comment(_KEDA_NOTES) + _document(scaled_object(scaling, prometheus_url))


def hpa_manifest(scaling: Autoscaling) -> str:
    """The HorizontalPodAutoscaler as a YAML document, with what must be set up as comments."""
    notes = _HPA_NOTES.format(rule=yaml.dump(adapter_rule(), Dumper=RuleDumper, sort_keys=False, width=120))
    return _comment(notes) + _document(horizontal_pod_autoscaler(scaling))


def _comment(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _document(content: Mapping[str, Any]) -> str:
    return "---\n" + yaml.dump(content, Dumper=RuleDumper, sort_keys=False, width=120)
