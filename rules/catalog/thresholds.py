"""Thresholds and objectives: every figure that a rule or a diagnosis compares with, named and overridable.

A threshold is the recorded series `threshold:<name>` of `rules/thresholds.yml` (one file a site edits). An objective
comes from the inventory as `optiinfra_objective{service,objective}` and is resolved to `service:objective:<name>`,
with the threshold `threshold:objective_<name>` as default. The values here are the shipped defaults; a test holds
them equal to the YAML. `source` cites `tuning.md`; `[G]` marks a guess to calibrate.
"""

from dataclasses import dataclass

from rules.catalog.slos import BURN_WINDOWS


@dataclass(frozen=True, slots=True)
class Threshold:
    """One named figure."""

    name: str
    default: float
    unit: str
    help: str
    source: str

    @property
    def series(self) -> str:
        """The recorded series that carries the value."""
        return f"threshold:{self.name}"


@dataclass(frozen=True, slots=True)
class Objective:
    """One service-level objective; lower is better for all. `default` None: only where the inventory sets it."""

    name: str
    default: float | None
    unit: str
    help: str

    @property
    def series(self) -> str:
        """The recorded series that carries the value resolved for a service."""
        return f"service:objective:{self.name}"


_THRESHOLDS = (
    Threshold(
        "kv_cache_usage_high_ratio",
        0.90,
        "ratio",
        "Mean KV usage from which KV limits the batch.",
        "B02 [V several]",
    ),
    Threshold(
        "kv_cache_usage_peak_ratio",
        0.95,
        "ratio",
        "Peak KV usage that, with preemptions, shows a full cache.",
        "B02, kv_pressure trace",
    ),
    Threshold("kv_cache_usage_room_ratio", 0.75, "ratio", "Mean KV usage below which KV has room.", "B04 [G]"),
    Threshold(
        "preemptions_per_request_high_ratio",
        0.05,
        "ratio",
        "Preemptions per finished request that are thrash.",
        "B02 [G]",
    ),
    Threshold(
        "admission_fullness_ratio",
        0.90,
        "ratio",
        "Batch size over its known limit from which slots are exhausted.",
        "B04 says 0.95 [G]; a real vLLM with 4 slots and a constant queue averaged 0.91: a freed slot reads empty",
    ),
    Threshold(
        "admission_plateau_flatness_ratio",
        0.90,
        "ratio",
        "Mean over maximum of running from which it is a plateau.",
        "B04, saturated capture [G]",
    ),
    Threshold(
        "admission_plateau_step_tokens",
        1024,
        "tokens",
        "Mean tokens per step from which a step's token budget, not the batch limit, may hold a plateau of running: "
        "half of vLLM's smallest default budget (2048).",
        "B05 against B04, engine-knobs §1 [G]",
    ),
    Threshold(
        "queue_length_per_replica",
        5,
        "requests",
        "Mean queue per replica that is a build-up.",
        "B03 [V pstack-keda, wva, epp]",
    ),
    Threshold(
        "queue_share_of_ttft_high_ratio",
        0.50,
        "ratio",
        "Queue share of TTFT from which TTFT is queue-bound.",
        "B07 tree [G]",
    ),
    Threshold(
        "throughput_of_capability_low_ratio",
        0.50,
        "ratio",
        "Token rate over own best under backlog that is low.",
        "B08 [G]",
    ),
    Threshold(
        "prefill_heavy_prompt_per_generation_ratio",
        10,
        "ratio",
        "Prompt over generated tokens from which a low token rate says nothing of throughput.",
        "B05 [G]",
    ),
    Threshold(
        "prefix_cache_hit_low_ratio",
        0.20,
        "ratio",
        "Hit ratio that is low where prompts are long and replicas many.",
        "B09 [G]",
    ),
    Threshold(
        "prefix_cache_long_prompt_tokens",
        1000,
        "tokens",
        "Mean prompt length from which a low hit ratio is suspect.",
        "B09 [G]",
    ),
    Threshold("gpu_memory_used_high_ratio", 0.97, "ratio", "Device memory use that leaves no headroom.", "B01 [G]"),
    Threshold(
        "gpu_memory_growth_ratio",
        0.005,
        "ratio",
        "Growth over 30m that tells a leak from pre-allocation.",
        "B01 [G]",
    ),
    Threshold(
        "gpu_memory_free_low_bytes",
        536870912,
        "bytes",
        "Free device memory below which growth is critical.",
        "B01 [G]",
    ),
    Threshold(
        "gpu_memory_preallocated_ratio",
        0.50,
        "ratio",
        "Device memory use, held for 45m, that shows an engine past its start; growth before that is loading.",
        "B01 [G]",
    ),
    Threshold(
        "gpu_utilization_starved_ratio",
        0.50,
        "ratio",
        "Busiest GPU's utilization below which GPUs of a serving node wait for something.",
        "B15 [G]",
    ),
    Threshold("host_cpu_busy_high_ratio", 0.80, "ratio", "CPU busy share that starves engines.", "B15 [V apa]"),
    Threshold("host_cpu_pressure_high_ratio", 0.20, "ratio", "PSI cpu share that starves engines.", "B15 [G]"),
    Threshold(
        "host_memory_available_low_ratio",
        0.10,
        "ratio",
        "Available memory share that is too low.",
        "B16 [V apa]",
    ),
    Threshold("host_memory_pressure_some_high_ratio", 0.10, "ratio", "PSI memory some share that hurts.", "B16 [G]"),
    Threshold(
        "host_memory_pressure_full_high_ratio",
        0.10,
        "ratio",
        "PSI memory full share that is critical.",
        "B16 [G]",
    ),
    # -- hardware: B12-B19
    Threshold(
        "gpu_throttled_thermal_high_ratio",
        0.05,
        "ratio",
        "Share of 5m in which heat held a GPU's clocks down that costs work.",
        "B12 [G]",
    ),
    Threshold(
        "gpu_hw_slowdown_high_ratio",
        0.075,
        "ratio",
        "Share of 5m in hardware slowdown; one scrape of 20 may see a change of performance state, two may not.",
        "B12 says 1 % of 10m [G]; at a scrape each 15 s one flicker reads 5 % of 5m",
    ),
    Threshold(
        "gpu_power_limit_low_ratio",
        0.95,
        "ratio",
        "Power limit over the device's default below which somebody lowered it.",
        "B13 says below the default [G]",
    ),
    Threshold(
        "gpu_throttled_power_high_ratio",
        0.2,
        "ratio",
        "Share of 5m at the power cap that slows work down.",
        "B13 [G]",
    ),
    Threshold(
        "gpu_sm_clock_low_ratio",
        0.8,
        "ratio",
        "Mean SM clock over its maximum that is low under load.",
        "B13 [G]",
    ),
    Threshold(
        "gpu_pcie_replays_high_per_second",
        0.1,
        "replays",
        "PCIe packets sent again per second that show a bad link.",
        "B14 [G]",
    ),
    Threshold(
        "gpu_nvlink_errors_high_per_hour",
        100,
        "errors",
        "NVLink CRC errors, replays and recoveries in an hour that show a bad link.",
        "[G]; DCGM calls any replay or recovery a failure, and 100 CRC errors a second",
    ),
    # -- B21: objectives of services. A burn factor is computed in rules/catalog/slos.py.
    *(
        Threshold(
            window.threshold,
            window.factor,
            "ratio",
            f"Burn rate over {window.long}, and still over {window.short}, that alerts.",
            "§6.3 [V sloth, SRE workbook ch. 5]",
        )
        for window in BURN_WINDOWS
    ),
    Threshold(
        "slo_reachable_error_ratio",
        0.9,
        "ratio",
        "Share of bad events that always burns too fast: with a large budget a factor asks for more than everything.",
        "§6.3: at 90 %, use at most 9 instead of 14.4",
    ),
    Threshold(
        "min_slo_events",
        100,
        "events",
        "Events in the long window below which a burn rate judges nothing.",
        "B21, §6.3 [G]",
    ),
    Threshold(
        "min_slo_errors",
        10,
        "events",
        "Bad events in 3d that are no accident, however little traffic there is.",
        "[G]",
    ),
    Threshold(
        "disk_busy_high_ratio",
        0.8,
        "ratio",
        "Time with a request in flight from which a disk may be full.",
        "B17 [V apa]",
    ),
    Threshold(
        "io_pressure_full_high_ratio",
        0.05,
        "ratio",
        "PSI io full share that shows a disk that holds work up.",
        "B17 [G]",
    ),
    Threshold(
        "disk_await_high_seconds",
        0.1,
        "seconds",
        "Mean time of a read or write that shows a disk that holds work up.",
        "B17 [V apa]",
    ),
    Threshold(
        "filesystem_available_low_ratio",
        0.05,
        "ratio",
        "Available share of the fullest file system that is too low.",
        "B17 [V node-mixin]",
    ),
    Threshold(
        "filesystem_available_critical_ratio",
        0.03,
        "ratio",
        "Available share of the fullest file system at which writes fail soon.",
        "B17 [V node-mixin]",
    ),
    Threshold(
        "filesystem_filling_available_ratio",
        0.2,
        "ratio",
        "Available share from which a file system that fills is watched.",
        "B17 [V node-mixin]",
    ),
    Threshold(
        "filesystem_filling_seconds",
        14400,
        "seconds",
        "Time within which a file system that fills steadily would be full.",
        "B17 [V node-mixin]",
    ),
    # -- fleet: B05, B06, B09-B11, B25
    Threshold(
        "warm_answered_ratio",
        0.95,
        "ratio",
        "Share of 10m in which an engine must have answered to count as warm; a missed scrape or two of 40 pass.",
        "§0.2 no. 3 [G]",
    ),
    Threshold(
        "prefill_share_of_ttft_high_ratio",
        0.6,
        "ratio",
        "Prefill share of TTFT from which TTFT is prefill-bound.",
        "B05, B07 tree [G]",
    ),
    Threshold(
        "itl_tail_high_ratio",
        4,
        "ratio",
        "ITL p99 over its p50 from which prompts stall answers.",
        "B05 [G]; Sarathi-Serve measured up to 28",
    ),
    Threshold(
        "request_errors_critical_ratio",
        0.05,
        "ratio",
        "Share of requests that fail that is critical.",
        "B25 [G]",
    ),
    Threshold(
        "request_aborts_high_ratio",
        0.05,
        "ratio",
        "Share of requests that are aborted from which clients give up.",
        "B25 [G]",
    ),
    Threshold(
        "min_failed_requests",
        5,
        "requests",
        "Requests in 5m that failed, were aborted or rejected, below which it is an accident.",
        "§6.2 low traffic [G]",
    ),
    Threshold(
        "network_utilization_high_ratio",
        0.8,
        "ratio",
        "Share of a link in its busier direction from which transfers wait for each other.",
        "B18 [V apa]",
    ),
    Threshold(
        "network_errors_high_ratio",
        0.01,
        "ratio",
        "Share of packets with errors that shows a bad link.",
        "B18 [V node-mixin, apa]",
    ),
    Threshold(
        "engine_thread_busy_high_ratio",
        0.9,
        "ratio",
        "Share of time in which one thread runs that holds its engine back.",
        "B15 says 0.95 [G]; a thread that feeds a GPU waits for it a little",
    ),
    Threshold(
        "gpu_pcie_busy_high_ratio",
        0.7,
        "ratio",
        "Mean share of what a PCIe link can carry one way from which transfers wait for it.",
        "B19; an H100 moves 50 of the nominal 64 GB/s [V vllm-kvoff]",
    ),
    Threshold(
        "itl_mad_floor_seconds",
        0.0005,
        "seconds",
        "Least deviation of ITL among replicas that is taken for real.",
        "B11 [G]",
    ),
    Threshold(
        "straggler_z_score",
        3.5,
        "z-score",
        "Modified z-score of a replica's ITL that is an outlier.",
        "B11 [K Iglewicz-Hoaglin]",
    ),
    Threshold(
        "straggler_z_score_replicas",
        4,
        "replicas",
        "Replicas from which a z-score means something.",
        "B11",
    ),
    Threshold(
        "straggler_gap_ratio",
        1.25,
        "ratio",
        "ITL over the median of the replicas from which an outlier matters.",
        "B11 [V2 practice]",
    ),
    Threshold(
        "straggler_few_replicas_ratio",
        1.5,
        "ratio",
        "ITL over the fastest of two or three replicas that is slow.",
        "B11 [G]",
    ),
    Threshold(
        "straggler_load_ratio",
        1.2,
        "ratio",
        "Batch over the median of the replicas up to which load is equal.",
        "B11 [G]",
    ),
    Threshold(
        "min_itl_events_per_second",
        2,
        "tokens",
        "Gaps between tokens per second below which a mean of them judges nothing.",
        "§0.2 no. 4 [G]",
    ),
    Threshold(
        "load_skew_high_ratio",
        2,
        "ratio",
        "Load of the busiest replica over the mean that is uneven.",
        "B11 [G]",
    ),
    Threshold(
        "load_spread_few_replicas_ratio",
        1,
        "ratio",
        "Busiest less idlest over the mean load that is uneven for two or three replicas.",
        "B11 [G]",
    ),
    Threshold(
        "load_skew_min_requests",
        2,
        "requests",
        "Mean load of a replica below which a skew means nothing.",
        "B11",
    ),
    Threshold(
        "external_cache_hit_low_ratio",
        0.1,
        "ratio",
        "Hit ratio of an external cache that does not pay for it.",
        "P09: roll back when hit is below 10 % [G]",
    ),
    Threshold(
        "gpu_dram_active_high_ratio",
        0.6,
        "ratio",
        "Share of cycles in which device memory moves data that is near what it can: 0.8 is its practical peak.",
        "B06 [V2 dcgm-doc]",
    ),
    Threshold(
        "gpu_tensor_active_low_ratio",
        0.35,
        "ratio",
        "Share of cycles with active tensor pipes below which arithmetic does not limit.",
        "B06 [G]",
    ),
    Threshold(
        "gpu_memory_held_ratio",
        0.3,
        "ratio",
        "Device memory use from which an engine holds the GPU.",
        "B10 [G]",
    ),
    Threshold(
        "gpu_idle_utilization_ratio",
        0.05,
        "ratio",
        "GPU utilization in six hours below which nothing ran on it.",
        "B10 [V public rules]",
    ),
    # -- samples
    Threshold(
        "min_ttft_events",
        20,
        "requests",
        "Requests in 5m below which latency quantiles judge nothing.",
        "§0.2 [G]",
    ),
)

THRESHOLDS: dict[str, Threshold] = {threshold.name: threshold for threshold in _THRESHOLDS}

_OBJECTIVES = (
    Objective("ttft_p95_seconds", 2.0, "seconds", "TTFT p95 that the service promises."),
    Objective("itl_p95_seconds", 0.1, "seconds", "Inter-token latency p95 that the service promises."),
    Objective("error_ratio", 0.01, "ratio", "Share of requests that may end in an error or an abort."),
    Objective("request_duration_p95_seconds", None, "seconds", "End-to-end latency p95 that the service promises."),
    # A p95 promises 95 %; a service may promise its bounds for more.
    Objective("ttft_slow_ratio", 0.05, "ratio", "Share of first tokens that may come later than the TTFT objective."),
    Objective("itl_slow_ratio", 0.05, "ratio", "Share of gaps between tokens that may be over the ITL objective."),
    Objective("request_duration_slow_ratio", 0.05, "ratio", "Share of requests that may last longer than promised."),
)

OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in _OBJECTIVES}
