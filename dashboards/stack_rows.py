"""Rows about the machines and about OptiInfra itself, and the table of settings that several boards show."""

from grafanalib import core

from dashboards import queries
from dashboards.layout import Cell, Row, graph
from dashboards.panels import GREEN, RED, Column, Key, Step, stat, table
from dashboards.queries import Scope, signal

# Heading, neutral knob name and Grafana unit; "none" shows a number as it is set.
_SETTINGS = (
    ("Batch limit", "max_running_requests", "none"),
    ("Batched tokens", "max_batched_tokens", "none"),
    ("Model length", "max_model_length_tokens", "none"),
    ("Memory share", "kv_cache_memory_fraction", "percentunit"),
    ("Prefix cache", "prefix_caching", "none"),
)


def settings_table() -> core.Table:
    """What the replicas are configured with."""
    return table(
        "Settings of the replicas",
        "As the engine's configuration file or the inventory has them, read by the recommender. Replicas of one "
        "service differ while a change is on its canary. Prefix cache: 1 is on. Empty means that nobody tells.",
        (Key("service", "Service", 90), Key("instance", "Replica", 140)),
        [Column(heading, queries.replica_knob(knob, unit), width=115) for heading, knob, unit in _SETTINGS],
    )


def machines(scope: Scope) -> Row:
    """Host resources of the selected nodes."""
    return Row(
        "Nodes",
        (
            graph(
                "CPU busy",
                "CPU time that is neither idle nor waiting for I/O.",
                signal("node:host_cpu_busy:ratio", scope),
                limit=1,
            ),
            graph(
                "CPU pressure",
                "Share of time in which some task waited for a CPU: what starves an engine's scheduler.",
                signal("node:host_cpu_pressure:ratio_rate2m", scope),
                limit=1,
            ),
            graph(
                "Memory used",
                "Host memory that new work cannot get without swapping.",
                queries.memory_used(scope),
                limit=1,
            ),
        ),
    )


def itself() -> Row:
    """Whether what watches the services works: the last row, since it matters when the others are in doubt."""
    return Row(
        "OptiInfra itself",
        (
            Cell(
                stat(
                    "Recommender",
                    "Whether the recommender's parts work.",
                    queries.components(),
                    base=RED,
                    steps=(Step(1, GREEN),),
                    texts={0: "down", 1: "up"},
                ),
                12,
                5,
            ),
            Cell(
                stat(
                    "Targets down",
                    "Scrape targets that do not answer, by job.",
                    queries.targets_down(),
                    steps=(Step(1, RED),),
                ),
                12,
                5,
            ),
            graph(
                "Alert intake",
                "Notifications per minute from Alertmanager, by what became of them.",
                queries.notifications_per_minute(),
                width=6,
            ),
            graph(
                "Intake backlog",
                "Alerts that were accepted and not yet looked at.",
                queries.intake_backlog(),
                width=6,
            ),
            graph(
                "Oldest alert not looked at",
                "It grows while the recommender's worker stands still.",
                queries.oldest_pending(),
                width=6,
            ),
            graph(
                "Scrape duration",
                "How long Prometheus waits for each job's slowest target.",
                queries.scrape_duration(),
                width=6,
            ),
        ),
    )
