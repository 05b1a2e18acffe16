"""Figures and names of verification metrics as a person reads them."""

from collections.abc import Iterable

from recommender.metrics import VerificationMetric, Work

_NAMES = {
    VerificationMetric.TTFT_P95_SECONDS: "TTFT p95",
    VerificationMetric.ITL_P95_SECONDS: "inter-token latency p95",
    VerificationMetric.ERROR_RATIO: "error ratio",
    VerificationMetric.GENERATION_TOKENS_RATE: "generated tokens per second",
    VerificationMetric.PREEMPTIONS_PER_REQUEST: "preemptions per request",
    VerificationMetric.PREFIX_CACHE_HIT_RATIO: "prefix cache hits",
    VerificationMetric.REQUESTS_WAITING: "requests waiting",
    VerificationMetric.DEVICE_MEMORY_USED_RATIO: "device memory in use",
    VerificationMetric.HOST_MEMORY_AVAILABLE_RATIO: "available host memory",
    VerificationMetric.SECONDS_PER_TOKEN: "time per token of a running request",
    VerificationMetric.QUEUE_SECONDS_PER_TOKEN: "queueing per generated token",
    VerificationMetric.PAUSED_RATIO: "requests paused",
    VerificationMetric.MODEL_ON_DEVICE_RATIO: "share of the model on the device",
    VerificationMetric.PROBE_TTFT_SECONDS: "TTFT of black-box probes",
    VerificationMetric.PROBE_ITL_SECONDS: "inter-token latency of black-box probes",
    VerificationMetric.PROBE_FAILURE_RATIO: "black-box probes that fail",
}
_SHARES = frozenset(metric for metric in VerificationMetric if metric.endswith("_ratio"))
_PLURAL = frozenset(
    {
        VerificationMetric.GENERATION_TOKENS_RATE,
        VerificationMetric.PREEMPTIONS_PER_REQUEST,
        VerificationMetric.PREFIX_CACHE_HIT_RATIO,
        VerificationMetric.REQUESTS_WAITING,
        VerificationMetric.PAUSED_RATIO,
        VerificationMetric.PROBE_FAILURE_RATIO,
    }
)
_SECONDS = frozenset(metric for metric in VerificationMetric if metric.endswith(("_seconds", "seconds_per_token")))
_MILLISECONDS_BELOW = 0.1
_WORK = {
    Work.FIRST_TOKENS: "requests",
    Work.REQUESTS: "requests",
    Work.GENERATED_TOKENS: "generated tokens",
    Work.PROBES: "probed minutes",
}


def metric_name(metric: str) -> str:
    """The metric in words; an unknown one as it is."""
    return next((name for known, name in _NAMES.items() if known == metric), metric)


def verb(metric: str) -> str:
    """What follows the metric's name in a sentence."""
    return "are" if metric in _PLURAL else "is"


def figure(metric: str, value: float) -> str:
    """The value with its unit: `1.24 s`, `18.5 ms`, `0.4 %`, `312`."""
    if metric in _SECONDS:
        return f"{value * 1000:.3g} ms" if abs(value) < _MILLISECONDS_BELOW else f"{value:.3g} s"
    if metric in _SHARES:
        return f"{100 * value:.3g} %"
    return f"{value:.4g}"


def work_name(work: Work) -> str:
    """What of it is counted, in the plural."""
    return _WORK[work]


def judged_by(metric: str, direction: str, guards: Iterable[str]) -> str:
    """What must improve, and what must not get worse."""
    guarded = "; ".join(metric_name(guard) for guard in guards)
    way = "fall" if direction == "lower" else "rise"
    return f"{metric_name(metric)}, which must {way}" + (f"; guarded: {guarded}" if guarded else "")


def percent(new: float, old: float) -> str:
    """The change relative to the old value, signed."""
    return "from zero" if old == 0 else f"{100 * (new - old) / abs(old):+.0f} %"
