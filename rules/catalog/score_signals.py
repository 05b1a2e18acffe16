"""Scores, the parts that they are made of, and how much is in use (`rules/scores/*.yml`); in words: docs/scores.md.

A part is one series a `part`, from 0 (nothing is left of it) to 1. No alert and no decision reads any of these.
"""

from rules.catalog.signal import Signal

SCORE_SIGNALS = (
    # -- efficiency: allocation, goodput, program; `source` says what program was judged by
    Signal("replica:slo_errors:rate1m", "events", "First tokens or gaps per second that come too late; label `slo`."),
    Signal("replica:efficiency_part:ratio", "ratio", "Factors of efficiency in an hour; labels `part`, `source`."),
    Signal("replica:efficiency:score", "", "Efficiency, 0 to 100: the product of its parts."),
    Signal("node:efficiency_part:ratio", "ratio", "Mean factors of a node's replicas; labels `part`, `source`."),
    Signal("service:efficiency_part:ratio", "ratio", "Factors of a service in an hour; labels `part`, `source`."),
    Signal("service:efficiency:score", "", "Efficiency, 0 to 100: the product of its parts."),
    Signal(
        "service:efficiency:band",
        "",
        "Efficiency, by its label `band`: excellent, normal, improve or consolidate.",
    ),
    Signal("gpu:efficiency:score", "", "Efficiency, 0 to 100; label `source`."),
    Signal(
        "service:model_flops_utilization:ratio_rate5m", "ratio", "MFU: operations of the model over the GPUs' peak."
    ),
    Signal(
        "service:model_bandwidth_utilization:ratio_avg5m",
        "ratio",
        "MBU: bytes of weights and KV that steps read over the GPUs' bandwidth.",
    ),
    # -- health: slo, saturation, errors, gpu, host; of a service also replicas, which lowers the whole
    Signal("service:health_weight:ratio", "ratio", "Weights of the parts of health; label `part`."),
    Signal("node:health_part:ratio", "ratio", "What is left of a node's GPUs and host; label `part`."),
    Signal("node:health_coverage:ratio", "ratio", "Weight of the known parts over that of all."),
    Signal("node:health:score", "", "Health, 0 to 100."),
    Signal("replica:health_part:ratio", "ratio", "What is left of objectives and room; label `part`."),
    Signal("replica:health:score", "", "Health, 0 to 100; its node's counts as a part. Labelled as llm_up, no model."),
    Signal("service:health_part:ratio", "ratio", "What is left of each part of a service; label `part`."),
    Signal("service:health_coverage:ratio", "ratio", "Weight of the known parts over that of all."),
    Signal("service:health:score", "", "Health, 0 to 100."),
    Signal("service:health:band", "", "Health, by its label `band`: healthy, watch, degraded or critical."),
    # -- use: low, moderate, high or saturated
    Signal("node:gpu_activity:ratio_avg5m", "ratio", "Memory or arithmetic of held GPUs over its practical peak."),
    Signal("replica:utilization:state", "ratio", "Share in use; label `state`."),
    Signal("service:utilization:state", "ratio", "Share in use, mean of the replicas; label `state`."),
    Signal("gpu:utilization:state", "ratio", "Share in use, by profiling counters; label `state`."),
)
