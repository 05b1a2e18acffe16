"""Speculative decoding: what drafted tokens bring and cost, and when to turn it on or off (tuning §2.7)."""

from dataclasses import dataclass
from enum import StrEnum

from recommender.sizing.result import NotApplicable, Sized


class Advice(StrEnum):
    """What the speed-up says. `keep` lies between the two limits: no change is worth a restart."""

    ENABLE = "enable"
    KEEP = "keep"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class Limits:
    """Speed-ups that decide; both are guesses of tuning §2.7 [G]."""

    enable_above: float = 1.15  # at the p95 of running requests
    disable_below: float = 1.0  # for ten minutes


def tokens_per_verify(acceptance: float, draft_tokens: int) -> float:
    """Tokens that one verification gives: E = (1 - a^(k+1))/(1 - a), the one that the target makes included."""
    if not 0 <= acceptance <= 1 or draft_tokens < 0:
        raise ValueError("acceptance is 0-1 and the number of draft tokens is not negative")
    if acceptance == 1:
        return draft_tokens + 1.0
    return (1 - acceptance ** (draft_tokens + 1)) / (1 - acceptance)


def speed_up(
    acceptance: float | None,
    draft_tokens: int | None,
    running: float | None,
    ridge: float | None,
    *,
    draft_cost: float = 0.0,
) -> Sized | NotApplicable:
    """Tokens per second with speculation over without: S = E/(1 + k·c + v).

    `draft_cost`, c: a step of the draft over one of the target (n-gram: about 0). v, the cost of verifying more
    tokens at once, is 0 while running·(k + 1) stays below the ridge batch and then running·(k + 1)/ridge - 1.
    """
    if acceptance is None or draft_tokens is None or running is None or ridge is None:
        return NotApplicable("the acceptance, the number of draft tokens, the batch or the ridge batch is unknown")
    if not 0 <= acceptance <= 1 or draft_tokens < 1 or running < 0 or ridge <= 0 or draft_cost < 0:
        return NotApplicable("acceptance is 0-1, there is a draft token, and batch and costs are not negative")
    expected = tokens_per_verify(acceptance, draft_tokens)
    verify = max(0.0, running * (draft_tokens + 1) / ridge - 1)
    value = expected / (1 + draft_tokens * draft_cost + verify)
    return Sized(
        value,
        f"E = {expected:.3g} tokens a verification/(1 + {draft_tokens}·{draft_cost:g} + {verify:.3g})",
        {
            "acceptance": acceptance,
            "draft_tokens": float(draft_tokens),
            "running": running,
            "ridge_batch": ridge,
            "draft_cost": draft_cost,
        },
    )


def advise(gain: Sized | NotApplicable, limits: Limits = Limits()) -> Advice | NotApplicable:
    """Whether to turn speculation on or off by its speed-up."""
    if isinstance(gain, NotApplicable):
        return gain
    if gain.value > limits.enable_above:
        return Advice.ENABLE
    return Advice.DISABLE if gain.value < limits.disable_below else Advice.KEEP
