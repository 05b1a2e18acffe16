"""Sizing models: pure functions from what is known to a value that a person can check.

Every function gives a `Sized` value with the formula and inputs, or `NotApplicable` with the reason. An input that is
unknown (None) never becomes a number here.
"""

from recommender.sizing.latency import LinearItl, fit_linear_itl
from recommender.sizing.result import NotApplicable, Sized
from recommender.sizing.steps import (
    MAX_MEMORY_FRACTION,
    MAX_MEMORY_STEP,
    MAX_STEP_RATIO,
    MEMORY_RESERVE_BYTES,
    captured_batch_size,
    concurrency_cap,
    lower_max_running,
    raise_max_running,
    raise_memory_fraction,
    replicas_for_kv,
    replicas_for_load,
    tokens_per_request,
)

__all__ = [
    "MAX_MEMORY_FRACTION",
    "MAX_MEMORY_STEP",
    "MAX_STEP_RATIO",
    "MEMORY_RESERVE_BYTES",
    "LinearItl",
    "NotApplicable",
    "Sized",
    "captured_batch_size",
    "concurrency_cap",
    "fit_linear_itl",
    "lower_max_running",
    "raise_max_running",
    "raise_memory_fraction",
    "replicas_for_kv",
    "replicas_for_load",
    "tokens_per_request",
]
