"""Service-level objectives and their defaults."""

from dataclasses import dataclass


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
