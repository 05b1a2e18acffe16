"""What Prometheus recorded of a service in the week before its story, for rules that compare with a week before."""

from collections.abc import Iterator
from dataclasses import dataclass

from demo.faults.series import braces

WEEK_SECONDS = 7 * 86_400.0
_HOUR, _HOURS = 3600.0, 24


@dataclass(frozen=True, slots=True)
class Week:
    """Seven equal days. Recorded, not scraped: a week of pages would say no more about what follows.

    `cost_per_hour`: of all replicas together. `tokens`: prompts and answers per second in each hour of the day, the
    first of them being the hour in which the story begins; 24 numbers.
    """

    cost_per_hour: float
    tokens: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.tokens) != _HOURS:
            raise ValueError(f"a day has {_HOURS} hours, not {len(self.tokens)}: give tokens per second of each")

    def input_series(self, service: str, interval: float) -> Iterator[dict[str, str]]:
        """Series in promtool's notation, one sample each `interval` seconds.

        They end before the story begins, for from then on the rules record series of the same names. What is
        calculated from them, cost per token and its mean of the week, the rules record in the week too.
        """
        steps = round(_HOUR / interval)
        cost = (self.cost_per_hour,) * _HOURS
        series: tuple[tuple[str, dict[str, str], tuple[float, ...]], ...] = (
            ("service:llm_cost_per_hour:sum", {}, cost),
            ("service:llm_tokens:rate5m", {"tokens": "prompt"}, self.tokens),
        )
        for name, labels, hours in series:
            day = " ".join(f"{value:.12g}+0x{steps - 1}" for value in hours)
            yield {"series": name + braces({"service": service, **labels}), "values": " ".join([day] * 7)}
