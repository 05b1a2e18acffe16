"""Names that rules record and alerts carry: what dashboards and the recommender read.

Pure data. A test holds these names and the YAML under `rules/` together, both ways.
"""

from rules.catalog.alerts import ALERTS, Alert, Bottleneck, BottleneckKind, Severity
from rules.catalog.gpu_signals import GPU_LABELS
from rules.catalog.host_signals import NODE_LABELS
from rules.catalog.signal import Level, Signal
from rules.catalog.signals import (
    HISTOGRAMS,
    REPLICA_LABELS,
    SERVICE_LABELS,
    SIGNALS,
    SOURCE_COUNTERS,
    SOURCE_GAUGES,
    source_windows,
)
from rules.catalog.thresholds import OBJECTIVES, THRESHOLDS, Objective, Threshold

__all__ = [
    "ALERTS",
    "GPU_LABELS",
    "HISTOGRAMS",
    "NODE_LABELS",
    "OBJECTIVES",
    "REPLICA_LABELS",
    "SERVICE_LABELS",
    "SIGNALS",
    "SOURCE_COUNTERS",
    "SOURCE_GAUGES",
    "THRESHOLDS",
    "Alert",
    "Bottleneck",
    "BottleneckKind",
    "Level",
    "Objective",
    "Severity",
    "Signal",
    "Threshold",
    "source_windows",
]
