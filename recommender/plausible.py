"""Whether a reading can be at all: what cannot is unknown, as what is absent, and never sizes or permits anything.

Old engines and foreign exporters give KV usage as "97" where 0.97 is meant, subtraction of counters that were reset
gives less than nothing, and an objective of 0 s is a slip of the pen that every latency breaks.
"""

from functools import lru_cache
from math import inf

_WHOLE = 1.01  # of a share; above it is no rounding
_SHARES = (
    "llm_kv_cache_usage:ratio",
    "llm_kv_cache_usage:avg",
    "llm_kv_cache_usage:max",
    "llm_kv_cache_memory_fraction",
    "llm_prefix_cache_hit:ratio_rate5m",
    "gpu_memory_used:ratio",
    "host_memory_available:ratio",
)
# A distance to a median, what is left of a budget, degrees, and lines drawn into the future.
_SIGNED = ("robust_z", "remaining", "celsius", "forecast", "growth", "service:slo_")


@lru_cache(maxsize=4096)  # names come from outside
def _bounds(name: str) -> tuple[float, float]:
    low = -inf if any(word in name for word in _SIGNED) else 0.0
    of = name.partition(":")[2]
    return low, _WHOLE if of.startswith(_SHARES) else inf


def possible(name: str, value: float | None) -> float | None:
    """`value` of the signal `name`, or None where it cannot have it."""
    if value is None or 0 <= value <= 1:
        return value
    low, high = _bounds(name)
    return value if low <= value <= high else None


def promised(name: str, value: float | None) -> float | None:
    """The objective `name`, or None where nothing could keep it: a latency of zero, or anything below."""
    if value is None or value < 0 or (value == 0 and name.endswith("_seconds")):
        return None
    return value
