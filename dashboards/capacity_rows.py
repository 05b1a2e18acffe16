"""Rows about capacity and cost: how many replicas are desired and why, whether one may go, what tokens cost."""

from grafanalib import core

from dashboards import capacity_queries as queries
from dashboards.layout import Cell, Row, graph
from dashboards.panels import AMBER, GREEN, RED, Column, Key, Step, table, time_series
from dashboards.queries import Query, Scope, signal

_TITLE = "Capacity and cost"
_YES_NO = {0: "no", 1: "yes"}
# Demand over what can be taken at all: from 1 on requests wait or are thrown out.
_FULL = (Step(0.8, AMBER), Step(1, RED))


def services(scope: Scope, link: str) -> Row:
    """All services side by side; `link` is where a service's name leads."""
    key = Key("service", "Service", 100, link)
    return Row(
        _TITLE,
        (
            Cell(_replicas(scope, key), 12, 6),
            Cell(_usage(scope, key), 7, 6),
            Cell(_price(scope, key), 5, 6),
            Cell(_scale_in(scope, key), 24, 6),
        ),
    )


def service(scope: Scope) -> Row:
    """One service over time; `scope` selects it whatever its models, for capacity is known of services as a whole."""
    return Row(
        _TITLE,
        (
            Cell(
                time_series(
                    "Replicas desired and present",
                    "Desired: what an autoscaler follows. There: those that are scraped, answering or not, and paid "
                    "for. Up: those that answer. There below desired: replicas start, or nothing scales the service.",
                    signal("service:llm_replicas_desired:count", scope, "{{service}} desired"),
                    signal("service:llm_replicas_expected:count", scope, "{{service}} there"),
                    queries.up(scope),
                    counts=True,
                    filled=False,
                ),
                8,
                9,
            ),
            Cell(
                time_series(
                    "Replicas that signals ask for",
                    "The highest of concurrency, kv_cache, queue and forecast (15 minutes) is asked for, in steps; "
                    "forecast_1h only keeps replicas. A signal that is not known asks for nothing and has no line.",
                    queries.needed(scope),
                    counts=True,
                    filled=False,
                ),
                8,
                9,
            ),
            graph(
                "Capacity in use and forecast",
                "Demand over what the replicas that report can take, requests and KV cache; 100 % is full. Forecasts: "
                "of the scarcer one, present only while a trend or last week says that demand will be such.",
                queries.percent(queries.usage(scope)),
                queries.percent(queries.forecast("15m", scope, "{{service}} in 15m")),
                queries.percent(queries.forecast("1h", scope, "{{service}} in 1h")),
                limit=100,
            ),
            graph(
                "Capacity in use after a scale-in",
                "What would be in use of the replicas that stay after a step down; dashed: above it none may go.",
                queries.percent(queries.usage_after_scale_in(scope)),
                queries.percent(queries.scale_in_limit(scope)),
                limit=100,
                width=12,
            ),
            graph(
                "Cost of a million tokens",
                "In the currency of the inventory's prices, over the last hour: all tokens, prompts, answers. Empty: "
                "no price in the inventory (docs/autoscaling.md), no tokens, or less than an hour of samples.",
                signal("service:llm_cost_per_million_tokens:1h", scope, "{{service}} all"),
                signal("service:llm_cost_per_million_prompt_tokens:1h", scope, "{{service}} prompts"),
                signal("service:llm_cost_per_million_generation_tokens:1h", scope, "{{service}} answers"),
                width=12,
            ),
        ),
    )


def _replicas(scope: Scope, key: Key) -> core.Table:
    def count(heading: str, query: Query, width: int) -> Column:
        return Column(heading, query, decimals=0, width=width)

    def asked(heading: str, name: str, width: int) -> Column:
        return count(heading, queries.needed_by(name, scope), width)

    return table(
        "Replicas",
        "Desired: what an autoscaler follows. There: scraped, answering or not. Then how many are asked for by places "
        "for requests, KV cache, queues and forecasts; that of 1 h only keeps replicas. Desired rises in steps, falls "
        "by one at a time, and is held while too few replicas report. Empty, or no such column: unknown.",
        (key,),
        (
            count("Desired", queries.of_service("service:llm_replicas_desired:count", scope), 78),
            count("There", queries.of_service("service:llm_replicas_expected:count", scope), 65),
            count("Up", queries.up(scope), 50),
            asked("By requests", "concurrency", 100),
            asked("By KV cache", "kv_cache", 105),
            asked("By queue", "queue", 85),
            asked("In 15 min", "forecast", 85),
            asked("In 1 h", "forecast_1h", 70),
        ),
    )


def _usage(scope: Scope, key: Key) -> core.Table:
    def share(heading: str, query: Query) -> Column:
        return Column(heading, query, _FULL, 0, 82)

    def now(heading: str, resource: str) -> Column:
        name = "service:llm_capacity_usage:ratio"
        return share(heading, queries.of_service(name, scope, f'resource="{resource}"'))

    return table(
        "Capacity in use",
        "Demand over what the replicas that report can take: requests against places, KV cache against the cache. "
        "Above 100 % requests wait. In 15 min, in 1 h: forecast of the scarcer one, there only while a trend or "
        "last week says that demand will be such. Empty, or no such column: unknown.",
        (key,),
        (
            now("Requests", "requests"),
            now("KV cache", "kv_cache"),
            share("In 15 min", queries.forecast("15m", scope)),
            share("In 1 h", queries.forecast("1h", scope)),
        ),
    )


def _price(scope: Scope, key: Key) -> core.Table:
    return table(
        "Cost",
        "In the currency of the inventory's prices: an hour of the replicas that are there, and a million tokens, "
        "prompts and answers, over the last hour. Empty: no price in the inventory (docs/autoscaling.md). Tokens have "
        "a cost after an hour of samples, and only where there are any.",
        (key,),
        (
            Column("An hour", queries.of_service("service:llm_cost_per_hour:sum", scope), width=85),
            Column("Million tokens", queries.of_service("service:llm_cost_per_million_tokens:1h", scope), width=120),
        ),
    )


def _scale_in(scope: Scope, key: Key) -> core.Table:
    def part(heading: str, query: Query, width: int = 125) -> Column:
        return Column(heading, query, (Step(1, GREEN),), 0, width, AMBER, _YES_NO)

    return table(
        "May a replica go",
        "Every column after the second must say yes for half an hour, in which no replica came or went; a no is what "
        "forbids it; empty, or no such column, is not known, which forbids it too. Left, room and queues: after a step "
        "down. It is no fault when none may go.",
        (key,),
        (
            part("May go", queries.of_service(queries.HALF_AN_HOUR, scope), 90),
            part("Safe now", queries.of_service(queries.NOW, scope), 90),
            part("All report", queries.everything_reports(scope)),
            part("Enough left", queries.enough_left(scope)),
            part("Room: requests", queries.room_left("requests", scope)),
            part("Room: KV cache", queries.room_left("kv_cache", scope)),
            part("Queues short", queries.queues_stay_short(scope)),
            part("Budgets kept", queries.budgets_kept(scope)),
            part("No more asked for", queries.nothing_asks_for_more(scope), 145),
            part("No bottleneck", queries.no_bottleneck(scope)),
            part("No change", queries.no_change(scope)),
        ),
    )
