"""What a generated dashboard asks of Prometheus: for tests that run every panel's query against a live one."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# What exists only while or after something was wrong, or was changed: a panel over it alone may be empty.
_PROBLEM = re.compile(r"^count by \(bottleneck\)|\bALERTS_FOR_STATE\b|\(optiinfra_workflows\) > 0|\boptiinfra_effect_")
# What needs a trend, or a price in the inventory, and an hour of samples.
_IN_TIME = re.compile(r':llm_capacity_usage:forecast\b|signal="forecast|:llm_cost\w*:')
# What there is only while buckets cannot tell a quantile.
_BOUND = re.compile(r":p95_pinned\b")


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One target of one panel. `always` is false when it may have no series while all is well and has just begun."""

    dashboard: str
    panel: str
    legend: str
    expr: str
    always: bool

    @property
    def substituted(self) -> str:
        """The expression with every variable set to "All"."""
        return substitute(self.expr)


def panel_queries(model: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """Yield every query of a dashboard's JSON in reading order."""
    for panel in model["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"]
            yield PanelQuery(
                dashboard=model["uid"],
                panel=panel["title"],
                legend=target["legendFormat"],
                expr=expr,
                always=not any(pattern.search(expr) for pattern in (_PROBLEM, _IN_TIME, _BOUND)),
            )


def substitute(expr: str) -> str:
    """Set every `$variable` and `${variable}` to what "All" means: a pattern that matches anything."""
    return re.sub(r"\$\{?[a-z]\w*\}?", ".*", expr)
