"""What tokens cost: a replica's price over what it makes, and how it splits between prompts and answers.

Prices are in the currency of the inventory, per hour of one replica.
"""

from dataclasses import dataclass

from recommender.sizing.load import Prediction, StepModel, Workload
from recommender.sizing.result import NotApplicable, Sized

_MILLION = 1e6
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Split:
    """Price of a million tokens, by what they are: prompt tokens as clients send them, and output tokens."""

    prompt: float
    output: float


def price_per_million(price_per_hour: float | None, tokens_per_second: float | None) -> Sized | NotApplicable:
    """Price of a million tokens: hour/(tokens/s·3600)·10^6."""
    if price_per_hour is None or tokens_per_second is None or price_per_hour <= 0 or tokens_per_second <= 0:
        return NotApplicable("the price of a replica or the tokens that it makes are unknown or none")
    value = price_per_hour / (tokens_per_second * _HOUR) * _MILLION
    return Sized(
        value,
        f"{price_per_hour:g}/({tokens_per_second:.4g}·3600)·10^6 = {value:.3g}",
        {"price_per_hour": price_per_hour, "tokens_per_second": tokens_per_second},
    )


def split(price_per_hour: float, found: Prediction, step: StepModel, load: Workload) -> Split | NotApplicable:
    """The price by who takes the time: gamma·computed prompt tokens against all the rest of the steps.

    A cached prompt token costs nothing here: the price per million is over all prompt tokens, cached ones included.
    """
    rate = found.requests_per_second
    if rate <= 0 or price_per_hour <= 0:
        return NotApplicable("nothing is served, or the price is unknown")
    share = min(1.0, step.gamma_seconds * load.computed_prompt_tokens * rate)
    second = price_per_hour / _HOUR
    return Split(
        prompt=second * share / (rate * load.prompt_tokens) * _MILLION,
        output=second * (1 - share) / found.tokens_per_second * _MILLION,
    )
