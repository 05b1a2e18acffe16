"""Rows about the scores: how well a service or a replica is, how well it is used, and which part is to blame."""

from grafanalib import core

from dashboards import queries
from dashboards.layout import Cell, Row, graph
from dashboards.panels import AMBER, GREEN, NEUTRAL, RED, Column, Key, Step, table
from dashboards.queries import Query, Scope, signal
from rules.catalog import THRESHOLDS

# A part is what is left of it: half gone is worth a look.
_PART = (Step(0.5, AMBER), Step(0.75, GREEN))


def services(scope: Scope, link: str) -> Row:
    """Scores of the services with their parts; `link` is where a service's name leads."""
    return Row(
        "Scores",
        (
            Cell(_health(scope, link), 13, 7),
            Cell(_efficiency(scope, link), 11, 7),
            graph(
                "Health",
                "0 to 100, never more than 25 above the worst part. A gap means that too little is known.",
                signal("service:health:score", scope),
                width=12,
                limit=100,
            ),
            graph(
                "Efficiency",
                "0 to 100, over the last hour. Low in a quiet hour is no fault.",
                signal("service:efficiency:score", scope),
                width=12,
                limit=100,
            ),
        ),
    )


def replicas(scope: Scope, any_model: Scope) -> Row:
    """Scores of the replicas; of health nobody knows the model, for a dead engine has it too."""
    return Row(
        "Scores",
        (
            graph(
                "Health of the replicas",
                "0 to 100. 0: it does not answer, is frozen, or a GPU of its node is broken.",
                signal("replica:health:score", any_model),
                limit=100,
            ),
            graph(
                "Efficiency of the replicas",
                "Share of the last hour's GPU time that gave answers in time, 0 to 100.",
                signal("replica:efficiency:score", scope),
                limit=100,
            ),
            graph(
                "In use",
                "The fullest of batch, KV cache and GPUs; 100 % where nothing more fits.",
                signal("replica:utilization:state", scope, "{{instance}} {{state}}"),
                limit=1,
            ),
        ),
    )


def _health(scope: Scope, link: str) -> core.Table:
    steps = (
        Step(THRESHOLDS["health_degraded_score"].default, AMBER),
        Step(THRESHOLDS["health_healthy_score"].default, GREEN),
    )

    def part(heading: str, parts: str) -> Column:
        return _share(heading, queries.part("service:health_part:ratio", parts, scope))

    return table(
        "Health of the services",
        "What is left of each part; the score is their weighted mean, and close to the worst. Known: weight of those "
        "that are known. Machines: GPUs and hosts. Empty means unknown.",
        (Key("service", "Service", 110, link),),
        (
            Column("Health", queries.score("service:health:score", scope), steps, 0, 90, RED),
            part("Replicas", "replicas"),
            part("Objectives", "slo"),
            part("Room", "saturation"),
            part("No errors", "errors"),
            part("Machines", "gpu|host"),
            Column("Known", queries.score("service:health_coverage:ratio", scope), decimals=0, width=90),
        ),
    )


def _efficiency(scope: Scope, link: str) -> core.Table:
    def part(heading: str, parts: str) -> Column:
        return Column(heading, queries.part("service:efficiency_part:ratio", parts, scope), decimals=0, width=105)

    return table(
        "Efficiency and use of the services",
        "Efficiency is the product: share of the hour with requests, of them in time and without error, of what the "
        "hardware can do. In use: of what can be carried now. Empty means unknown.",
        (Key("service", "Service", 110, link), Key("state", "Use", 90)),
        (
            Column("Efficiency", queries.score("service:efficiency:score", scope), (), 0, 95, NEUTRAL),
            part("Busy", "allocation"),
            part("In time", "goodput"),
            part("Of possible", "program"),
            Column("In use", queries.use(scope), decimals=0, width=90),
        ),
    )


def _share(heading: str, query: Query) -> Column:
    return Column(heading, query, _PART, 0, 105, RED)
