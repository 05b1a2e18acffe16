"""How certain a prediction is: low, likely and high of each figure.

Two things make a range. What the prediction is made from may be off: the same model is asked again with a step that is
a little slower and faster, a load a little higher and lower, a KV cache a little smaller and larger. Near saturation
the answers lie far apart, and one of them may be a queue that grows, and that is what nobody can tell there. And the
model itself is an approximation: of quantiles more than of means, and of pauses by preemption most of all.
The widths are held to the simulated engine (`bench/sizing_bench.py`): at least nine in ten of its figures lie inside.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from recommender.sizing.load import EngineShape, Prediction, StepModel, Workload
from recommender.sizing.percentiles import ttft_between
from recommender.sizing.predict import slowest

STEP_ERROR = 0.03  # of a step's time, where the fit tells no more
LOAD_ERROR = 0.05  # of arrivals: what a mean of five minutes is off by
CAPACITY_ERROR = 0.03  # of the KV tokens that can be used: whole blocks, and room that is left for the next step
_MEANS = 0.02  # of a mean of the steady state, the model's own
_ITL = 0.03
_TTFT = 0.06
_PAUSES = 1.3  # pauses by preemption over those that the model has, at most; none at least
_BETWEEN_STEPS = 0.5  # requests that wait for a step alone: the model counts them, an engine may not
_PREEMPTIONS = (0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Range:
    """Low, likely and high of one figure. `mid` or `high` None: it grows without bound; `low` None: certainly so."""

    low: float | None
    mid: float | None
    high: float | None

    def holds(self, value: float) -> bool:
        """Whether a value lies inside."""
        return self.low is not None and self.low <= value and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Steps:
    """The step as models each of which is a floor of its time: at its fastest, as it is likely, at its slowest."""

    fast: tuple[StepModel, ...]
    likely: tuple[StepModel, ...]
    slow: tuple[StepModel, ...]

    @classmethod
    def of(cls, *models: StepModel, error: float = STEP_ERROR) -> "Steps":
        """A step that is known within `error`."""
        return cls(scaled(models, 1 - error), models, scaled(models, 1 + error))


@dataclass(frozen=True, slots=True)
class Ranged:
    """A prediction and the range of each of its figures, by the name that `Prediction` has for it."""

    likely: Prediction
    ranges: Mapping[str, Range]


def predict_range(shape: EngineShape, steps: Steps, load: Workload) -> Ranged:
    """The steady state of one replica and how certain it is.

    Raises ValueError where one request alone does not fit the KV cache, or its prompt an unchunked step.
    """
    likely = slowest(shape, steps.likely, load)
    worlds = [likely, *_worlds(shape, steps, load)]
    soft = [_soft(world) for world in worlds]
    return Ranged(likely, {name: _hull(getattr(likely, name, None), [each[name] for each in soft]) for name in soft[0]})


def scaled(models: Iterable[StepModel], factor: float) -> tuple[StepModel, ...]:
    """Steps that take `factor` of the time."""
    return tuple(
        StepModel(
            factor * one.alpha_seconds, factor * one.beta_seconds, factor * one.gamma_seconds, factor * one.eta_seconds
        )
        for one in models
    )


def _worlds(shape: EngineShape, steps: Steps, load: Workload) -> Iterable[Prediction]:
    """With all that helps, and with all that hurts."""
    least = load.prompt_tokens + load.output_tokens
    for models, sign in ((steps.fast, 1), (steps.slow, -1)):
        room = max(least, shape.kv_capacity_tokens * (1 + sign * CAPACITY_ERROR))
        rate = load.arrivals_per_second
        asked = load if rate is None else replace(load, arrivals_per_second=rate * (1 - sign * LOAD_ERROR))
        yield slowest(replace(shape, kv_capacity_tokens=room), models, asked)


_Span = tuple[float | None, float | None]


def _soft(world: Prediction) -> dict[str, _Span]:
    """Each figure of one world with what the model itself may be off by; None: it grows."""
    first = world.first_token
    pauses, itl = world.pause_seconds, world.itl_mean_seconds - world.pause_seconds
    below, above = world.itl_p95_between
    return {
        "tokens_per_second": _either_way(world.tokens_per_second, _MEANS),
        "requests_per_second": _either_way(world.requests_per_second, _MEANS),
        "running": _either_way(world.running, _MEANS),
        "waiting": (None, None) if world.waiting is None else _queue(world.waiting),
        "kv_tokens": _either_way(world.kv_tokens, _MEANS),
        "kv_usage_ratio": (world.kv_usage_ratio * (1 - _MEANS), min(1.0, world.kv_usage_ratio * (1 + _MEANS))),
        "ttft_p50_seconds": (None, None) if first is None else _widened(ttft_between(first, 0.50), _TTFT),
        "ttft_p95_seconds": (None, None) if first is None else _widened(ttft_between(first, 0.95), _TTFT),
        "itl_mean_seconds": (itl * (1 - _ITL), (itl + _PAUSES * pauses) * (1 + _ITL)),
        "itl_p95_seconds": _widened((min(below, world.itl_p95_seconds), max(above, world.itl_p95_seconds)), _ITL),
        "preemptions_per_request": (
            world.preemptions_per_request * _PREEMPTIONS[0],
            world.preemptions_per_request * _PREEMPTIONS[1],
        ),
    }


def _queue(waiting: float) -> _Span:
    low, high = waiting * (1 - _MEANS) - _BETWEEN_STEPS, waiting * (1 + _MEANS) + _BETWEEN_STEPS
    return max(0.0, low), high


def _either_way(value: float, error: float) -> _Span:
    return value * (1 - error), value * (1 + error)


def _widened(span: tuple[float, float], error: float) -> _Span:
    return span[0] * (1 - error), span[1] * (1 + error)


def _hull(mid: float | None, spans: list[_Span]) -> Range:
    lows = [low for low, _ in spans if low is not None]
    highs = [high for _, high in spans]
    known = [high for high in highs if high is not None]
    return Range(min(lows, default=None), mid, None if len(known) < len(highs) else max(known))
