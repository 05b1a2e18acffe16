"""Scores (tuning §4): weights, ceilings and bands. None alerts; nearly all are guesses that a site calibrates."""

from rules.catalog.thresholds.threshold import Threshold

_HEALTH = (
    # The five weights add up to 1; only their proportions count. Those of gpu and host are read for nodes as well.
    Threshold(
        "health_weight_slo_ratio", 0.40, "ratio", "Weight of objectives in health.", "§4.3 [G]", per_service=True
    ),
    Threshold(
        "health_weight_saturation_ratio", 0.25, "ratio", "Weight of saturation in health.", "§4.3 [G]", per_service=True
    ),
    Threshold(
        "health_weight_errors_ratio",
        0.15,
        "ratio",
        "Weight of failed requests in health.",
        "§4.3 [G]",
        per_service=True,
    ),
    Threshold("health_weight_gpu_ratio", 0.10, "ratio", "Weight of GPUs in health.", "§4.3 [G]", per_service=True),
    Threshold("health_weight_host_ratio", 0.10, "ratio", "Weight of hosts in health.", "§4.3 [G]", per_service=True),
    Threshold(
        "health_replicas_needed_ratio",
        0.50,
        "ratio",
        "Share of usable replicas below which health falls with it, to 0.",
        "§4.3: G = min(1, 2 x fraction up) [G]",
        per_service=True,
    ),
    Threshold(
        "health_coverage_min_ratio",
        0.50,
        "ratio",
        "Share of the weights whose parts are known, below which there is no score.",
        "§4.4 [G]",
        per_service=True,
    ),
    Threshold(
        "health_cap_margin_ratio",
        0.25,
        "ratio",
        "How far health may be above its worst part, so that one bad part cannot hide.",
        "§4.3 [G]",
        per_service=True,
    ),
    Threshold(
        "health_kv_usage_floor_ratio",
        0.80,
        "ratio",
        "Mean KV usage from which, while requests wait or are preempted, a replica fills up.",
        "§4.3 [G]",
        per_service=True,
    ),
    Threshold(
        "health_queue_length_limit",
        20,
        "requests",
        "Mean queue of a replica at which it is full.",
        "§4.3 [G]",
        per_service=True,
    ),
    Threshold(
        "health_error_limit_ratio",
        0.05,
        "ratio",
        "Share of failed requests at which nothing is left of that part of health.",
        "§4.3 [G]",
        per_service=True,
    ),
    Threshold(
        "health_throttled_limit_ratio",
        0.50,
        "ratio",
        "Share of 5m with clocks held down by heat, slowdown or brake at which nothing is left of a GPU's health.",
        "§4.3 [G]",
    ),
    Threshold(
        "health_gpu_impaired_ratio",
        0.50,
        "ratio",
        "Most that is left of a node's GPU health with a bad link, or memory that waits for its repair.",
        "§4.3 says 0; the GPU still works [G]",
    ),
    Threshold(
        "health_cpu_pressure_limit_ratio",
        0.50,
        "ratio",
        "PSI cpu at which nothing is left of a host's health.",
        "§4.3 [G]",
    ),
    Threshold(
        "health_memory_pressure_some_limit_ratio",
        0.25,
        "ratio",
        "PSI memory some at which nothing is left of a host's health.",
        "§4.3: half of cpu's [G]",
    ),
    Threshold(
        "health_memory_pressure_full_limit_ratio",
        0.10,
        "ratio",
        "PSI memory full at which nothing is left of a host's health.",
        "§4.3: a fifth of cpu's [G]",
    ),
    Threshold(
        "health_io_pressure_full_limit_ratio",
        0.50,
        "ratio",
        "PSI I/O full at which nothing is left of a host's health.",
        "§4.3 [G]",
    ),
    Threshold("health_healthy_score", 90, "", "Health from which a service is healthy.", "§4.3 [G]", per_service=True),
    Threshold("health_watch_score", 70, "", "Health below which a service is degraded.", "§4.3 [G]", per_service=True),
    Threshold(
        "health_degraded_score", 50, "", "Health below which a service is critical.", "§4.3 [G]", per_service=True
    ),
)

_EFFICIENCY = (
    Threshold(
        "gpu_dram_active_peak_ratio",
        0.80,
        "ratio",
        "Share of cycles with moving device memory that is the most in practice.",
        "§4.1 [V2 dcgm-doc]",
    ),
    Threshold(
        "gpu_tensor_active_peak_ratio",
        0.60,
        "ratio",
        "Share of cycles with active tensor pipes that serving can reach.",
        "§4.2 [G]; NVIDIA's tester saturates at 0.93",
    ),
    Threshold(
        "model_flops_peak_ratio",
        0.80,
        "ratio",
        "Share of a GPU's arithmetic that a good kernel does: MFU at which nothing more is to be had.",
        "§2.2: 788 of 989 TFLOP/s, measured on an H200 [V]",
        per_service=True,
    ),
    Threshold(
        "model_bandwidth_peak_ratio",
        0.90,
        "ratio",
        "Share of a GPU's memory bandwidth that a good kernel moves: MBU at which nothing more is to be had.",
        "§2.2: 4.3 of 4.8 TB/s, measured on an H200 [V]",
        per_service=True,
    ),
    Threshold(
        "efficiency_excellent_score", 60, "", "Efficiency from which it is excellent.", "§4.2 [G]", per_service=True
    ),
    Threshold(
        "efficiency_normal_score",
        35,
        "",
        "Efficiency from which it is usual for interactive services.",
        "§4.2 [G]",
        per_service=True,
    ),
    Threshold(
        "efficiency_improve_score",
        15,
        "",
        "Efficiency from which improving is enough; below, consolidate.",
        "§4.2 [G]",
        per_service=True,
    ),
)

_UTILIZATION = (
    Threshold("utilization_moderate_ratio", 0.30, "ratio", "Use from which it is moderate.", "[G]", per_service=True),
    Threshold("utilization_high_ratio", 0.70, "ratio", "Use from which it is high.", "[G]", per_service=True),
    Threshold(
        "utilization_saturated_ratio",
        0.95,
        "ratio",
        "Use from which nothing more fits.",
        "[G], beside B04's fullness",
        per_service=True,
    ),
)

SCORES = (*_HEALTH, *_EFFICIENCY, *_UTILIZATION)
