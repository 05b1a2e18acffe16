"""Overview: what is wrong now, what wants a decision, and whether each service keeps its promises."""

from grafanalib import core

from dashboards import capacity_rows, queries
from dashboards.layout import Cell, Row, annotation, dashboard, datasource_variable, graph, label_variable
from dashboards.panels import AMBER, NEUTRAL, RED, Column, Key, Step, stat, table, time_series
from dashboards.queries import Query, Scope, signal
from dashboards.score_rows import services
from dashboards.stack_rows import itself, machines, settings_table

UID = "optiinfra-overview"
_SCOPE = Scope()
_OBJECTIVE = (Step(0.8, AMBER), Step(1, RED))
# States in which a change is under way (recommender's WorkflowState); a test holds the names together.
PENDING = ("pending_approval",)
UNDER_WAY = ("approved", "canary", "rolling_out", "validating", "rolling_back")
_INFERENCE_LINK = "/d/optiinfra-inference?var-service=${__value.text}&${__url_time_range}"


def build() -> core.Dashboard:
    """Return the dashboard."""
    return dashboard(
        UID,
        "OptiInfra / Overview",
        "What limits each service now, what wants a decision, and whether objectives are kept.",
        variables=(
            datasource_variable(),
            label_variable("service", "Service", "replica:llm_up"),
            label_variable("node", "Node", "node:host_cpu_busy:ratio"),
        ),
        rows=(
            _wrong(),
            services(_SCOPE, _INFERENCE_LINK),
            capacity_rows.services(_SCOPE, _INFERENCE_LINK),
            _decisions(),
            _effects(),
            _objectives(),
            _load(),
            machines(_SCOPE),
            itself(),
        ),
        annotations=(changes_annotation(),),
    )


def changes_annotation() -> dict[str, object]:
    """Marks where a replica's configuration changed: a canary, a roll-out or a roll-back.

    Grafana 7 draws annotations on its old graph panel only; 8 and later on all of ours.
    """
    return annotation(
        "Configuration changes",
        queries.knob_changes(),
        "{{knob}} changed",
        "{{service}} {{instance}}",
        "blue",
    )


def _tile(title: str, description: str, query: Query, colour: str) -> Cell:
    """A count that should be zero, coloured from 1 on."""
    return Cell(stat(title, description, query, steps=(Step(1, colour),)), 4, 4)


def _wrong() -> Row:
    return Row(
        "What is wrong",
        (
            _tile(
                "Alerts firing",
                "Alerts firing now, the Watchdog left out. Unknown means that alerting itself does not run.",
                queries.firing_count(),
                AMBER,
            ),
            _tile(
                "Critical alerts",
                "Alerts of severity critical firing now.",
                queries.firing_count(', severity="critical"'),
                RED,
            ),
            _tile(
                "Replicas down",
                "Replicas that Prometheus knows and that do not answer.",
                queries.replicas_down(_SCOPE),
                RED,
            ),
            _tile(
                "Waiting for approval",
                "Plans that a person has to approve or reject: optiinfra workflows list.",
                queries.workflows(PENDING),
                AMBER,
            ),
            _tile(
                "Changes under way",
                "Workflows that are changing an engine or measuring a change now.",
                queries.workflows(UNDER_WAY),
                NEUTRAL,
            ),
            _tile(
                "Recommender parts down",
                "Store, Prometheus connection and worker of the recommender that do not work.",
                queries.components_down(),
                RED,
            ),
            Cell(_alert_table(), 15, 9),
            Cell(
                time_series(
                    "Bottlenecks",
                    "How many replicas, services, nodes or GPUs show the condition of each bottleneck at each instant, "
                    "before any alert's waiting time.",
                    *queries.bottlenecks(_SCOPE),
                    counts=True,
                    legend_right=True,
                ),
                9,
                9,
            ),
        ),
    )


def _alert_table() -> core.Table:
    keys = (
        Key("alertname", "Alert", 190),
        Key("severity", "Severity", 85),
        Key("kind", "Kind", 85),
        Key("bottleneck", "Bottleneck", 165),
        Key("service", "Service", 90, _INFERENCE_LINK),
        Key("instance", "Replica", 135),
        Key("node", "Node", 85),
    )
    return table(
        "Firing alerts",
        "One row per firing alert. Causes mute the symptoms of their service in Alertmanager, not here. "
        "For how long: since the condition first held.",
        keys,
        (Column("For", queries.firing_alerts(), width=90),),
    )


def _decisions() -> Row:
    return Row(
        "Changes",
        (
            Cell(
                time_series(
                    "Workflows by state",
                    "Every workflow of the recommender's store by where it stands.",
                    queries.workflows(),
                    counts=True,
                    legend_right=True,
                ),
                12,
            ),
            Cell(settings_table(), 12),
        ),
    )


def _effects() -> Row:
    return Row(
        "Predicted against measured",
        (
            Cell(
                table(
                    "Effects of changes",
                    "New over old of each metric, geometric mean over the changes of a playbook that were measured "
                    "here: as their plans predicted it, and as it was. 1 is no effect. Empty before the first one; "
                    "single changes: optiinfra effects.",
                    (
                        Key("playbook", "Playbook", 90),
                        Key("engine", "Engine", 90),
                        Key("metric", "Metric", 230),
                    ),
                    (
                        Column("Predicted", queries.effect_ratio("predicted"), decimals=2, width=100),
                        Column("Measured", queries.effect_ratio("measured"), decimals=2, width=100),
                        Column("Changes", queries.effect_measurements(), decimals=0, width=90),
                    ),
                ),
                15,
                7,
            ),
            Cell(
                time_series(
                    "Measured changes by how they ended",
                    "What was kept, and what was taken back, of the changes that were measured.",
                    queries.effect_rollouts(),
                    counts=True,
                    legend_right=True,
                ),
                9,
                7,
            ),
        ),
    )


def _objectives() -> Row:
    return Row(
        "Objectives",
        (
            Cell(_service_table(), 24, 6),
            graph(
                "Time to first token p95",
                "Slowest 5 % of requests wait longer than this for their first token; dashed: the objective.",
                signal("service:llm_ttft_seconds:p95_1m", _SCOPE),
                queries.objective("ttft_p95_seconds"),
                width=12,
            ),
            graph(
                "Inter-token latency p95",
                "Slowest 5 % of the gaps between two tokens; dashed: the objective.",
                signal("service:llm_itl_seconds:p95_1m", _SCOPE),
                queries.objective("itl_p95_seconds"),
                width=12,
            ),
        ),
    )


def _service_table() -> core.Table:
    def plain(heading: str, name: str, decimals: int | None = None) -> Column:
        return Column(heading, queries.by_service(name, _SCOPE), decimals=decimals, width=120)

    def share(heading: str, name: str, objective: str) -> Column:
        return Column(heading, queries.share_of_objective(name, objective, _SCOPE), _OBJECTIVE, 0, 120)

    return table(
        "Services",
        "Latency over 5 minutes against what each service promises; 100 % is the limit. Empty means unknown.",
        (Key("service", "Service", 130, _INFERENCE_LINK), Key("model", "Model", 160)),
        (
            plain("Replicas up", "service:llm_replicas_up:count", 0),
            plain("TTFT p95", "service:llm_ttft_seconds:p95_5m"),
            share("of objective", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
            plain("ITL p95", "service:llm_itl_seconds:p95_5m"),
            share("of ITL objective", "service:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
            share("Errors of limit", "service:llm_request_errors:ratio_rate5m", "error_ratio"),
            plain("Output tokens", "service:llm_generation_tokens:rate5m"),
            plain("Requests", "service:llm_requests:rate5m"),
            plain("Waiting", "service:llm_requests_waiting:sum", 0),
            plain("KV cache", "service:llm_kv_cache_usage:avg", 0),
        ),
    )


def _load() -> Row:
    return Row(
        "Saturation and throughput",
        (
            graph(
                "Requests waiting",
                "Requests queued in the engines, all replicas of a service.",
                signal("service:llm_requests_waiting:sum", _SCOPE),
            ),
            graph(
                "KV cache usage",
                "Mean over the replicas of a service; near 100 % the cache limits the batch.",
                signal("service:llm_kv_cache_usage:avg", _SCOPE),
                limit=1,
            ),
            graph(
                "Output tokens",
                "Tokens generated per second, all replicas of a service.",
                signal("service:llm_generation_tokens:rate1m", _SCOPE),
            ),
        ),
    )
