"""Names that rules record and alerts carry: what dashboards and the recommender read.

Pure data. A test holds these names and the YAML under `rules/` together, both ways.
"""

from rules.catalog.alerts import ALERTS, Alert, Bottleneck, BottleneckKind, Severity
from rules.catalog.gpu_signals import GPU_LABELS
from rules.catalog.host_signals import NODE_LABELS
from rules.catalog.signal import Level, Signal
from rules.catalog.signals import (
    AT_ONCE,
    EACH_MINUTE,
    HALF_AS_OFTEN,
    HISTOGRAMS,
    REPLICA_BUCKETS,
    REPLICA_LABELS,
    SERVICE_BUCKETS,
    SERVICE_LABELS,
    SIGNALS,
    SOURCE_COUNTERS,
    SOURCE_GAUGES,
    SOURCE_INFOS,
    service_bucket_pace,
    service_stem,
    source_pace,
    source_windows,
)
from rules.catalog.thresholds import OBJECTIVES, THRESHOLDS, Objective, Threshold

__all__ = [
    "ALERTS",
    "AT_ONCE",
    "EACH_MINUTE",
    "GPU_LABELS",
    "HALF_AS_OFTEN",
    "HISTOGRAMS",
    "NODE_LABELS",
    "OBJECTIVES",
    "REPLICA_BUCKETS",
    "REPLICA_LABELS",
    "SERVICE_BUCKETS",
    "SERVICE_LABELS",
    "SIGNALS",
    "SOURCE_COUNTERS",
    "SOURCE_GAUGES",
    "SOURCE_INFOS",
    "THRESHOLDS",
    "Alert",
    "Bottleneck",
    "BottleneckKind",
    "Level",
    "Objective",
    "Severity",
    "Signal",
    "Threshold",
    "service_bucket_pace",
    "service_stem",
    "source_pace",
    "source_windows",
]
