"""What tells too little capacity soon, too much, and dear tokens from their look-alikes (tuning §1, B22-B24)."""

from collections.abc import Callable, Mapping

from recommender.diagnosis.answer import Discriminator, any_of, defining
from recommender.diagnosis.checks import Scope
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]

_FORECAST = "service:llm_capacity_usage:forecast_max"


def _predicted_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    full = any_of(
        scope.at_least("forecast of the capacity in use", _FORECAST, "saturation_trend_ratio"),
        scope.at_least("forecast of the capacity in use", _FORECAST, "saturation_season_ratio"),
    )
    reporting = scope.at_least(
        "replicas whose load is known", "service:llm_replicas_reporting:ratio", "replicas_reporting_min_ratio"
    )
    return (
        defining(full, "demand that does not grow beyond what there is"),
        defining(reporting, "replicas of which load is not known"),
    )


def _over_provisioned(scope: Scope) -> tuple[Discriminator, ...]:
    # That nothing else speaks against it (budgets, roll-outs, forecasts, queues) is in the flag.
    usage = scope.below("capacity in use with fewer replicas", "service:llm_scale_in_usage:max", "scale_in_usage_ratio")
    left = scope.at_least("that would leave", "service:llm_scale_in_replicas:count", "scale_in_replicas_min")
    return (
        defining(usage, "replicas that are needed"),
        defining(left, "replicas that are there in case one fails"),
        defining(
            scope.positive("safe to scale in:", "service:llm_scale_in:safe"),
            "a trough, a roll-out, or a budget that burns",
        ),
    )


def _cost_per_token(scope: Scope) -> tuple[Discriminator, ...]:
    dear = scope.at_least(
        "cost of a token over its mean of a week:",
        "service:llm_cost_per_million_tokens:ratio_of_week",
        "cost_high_ratio",
    )
    return (defining(dear, "what tokens have cost all week"),)


CAPACITY: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.PREDICTED_SATURATION: _predicted_saturation,
    Bottleneck.OVER_PROVISIONED: _over_provisioned,
    Bottleneck.COST_PER_TOKEN: _cost_per_token,
}
