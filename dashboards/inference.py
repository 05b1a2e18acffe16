"""Inference: one service's replicas in detail, and a canary beside the replicas that were left alone."""

from grafanalib import core

from dashboards import capacity_rows, queries
from dashboards.layout import Cell, Row, dashboard, datasource_variable, graph, label_variable
from dashboards.overview import changes_annotation
from dashboards.panels import AMBER, GREEN, RED, Column, Key, Step, stat, table, time_series
from dashboards.queries import Scope, signal
from dashboards.score_rows import replicas
from dashboards.stack_rows import settings_table

UID = "optiinfra-inference"
_SERVICE = 'service=~"$service", model=~"$model"'
# Of a replica that is down nobody knows the model, so what tells of it must not ask for one.
_SCOPE = Scope(replica=f'{_SERVICE}, instance=~"$instance"', service=_SERVICE)
_ANY_MODEL = Scope(replica='service=~"$service", instance=~"$instance"')
_SERVICE_SCOPE = Scope()
_OBJECTIVE = (Step(0.8, AMBER), Step(1, RED))


def build() -> core.Dashboard:
    """Return the dashboard."""
    running = "replica:llm_requests_running"
    return dashboard(
        UID,
        "OptiInfra / Inference",
        "Saturation, latency and throughput of a service's replicas, and a canary beside the others.",
        variables=(
            datasource_variable(),
            label_variable("service", "Service", "replica:llm_up"),
            label_variable("model", "Model", f'{running}{{service=~"$service"}}'),
            label_variable("instance", "Replica", 'replica:llm_up{service=~"$service"}'),
        ),
        rows=(
            _state(),
            replicas(_SCOPE, _ANY_MODEL),
            capacity_rows.service(_SERVICE_SCOPE),
            _saturation(),
            _latency(),
            _throughput(),
            _canary(),
            _configuration(),
        ),
        annotations=(changes_annotation(),),
    )


def _state() -> Row:
    def share(title: str, name: str, objective: str) -> Cell:
        shown = queries.share_of_objective(name, objective, _SCOPE)
        description = f"{title}: 100 % is the limit of what the service promises. Over the last 5 minutes."
        return Cell(stat(title, description, shown, steps=_OBJECTIVE, decimals=0, sparkline=True), 4, 4)

    return Row(
        "What is wrong",
        (
            Cell(
                stat(
                    "Replicas",
                    "Whether each replica answers.",
                    signal("replica:llm_up", _ANY_MODEL),
                    base=RED,
                    steps=(Step(1, GREEN),),
                    texts={0: "down", 1: "up"},
                ),
                12,
                4,
            ),
            share("TTFT p95 of objective", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
            share("ITL p95 of objective", "service:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
            share("Errors of limit", "service:llm_request_errors:ratio_rate5m", "error_ratio"),
            Cell(
                time_series(
                    "Bottlenecks of the service",
                    "Replicas that show each bottleneck's condition at each instant, and the service's own.",
                    *queries.bottlenecks(_ANY_MODEL)[:2],
                    counts=True,
                    legend_right=True,
                ),
                24,
                6,
            ),
        ),
    )


def _saturation() -> Row:
    return Row(
        "Saturation",
        (
            graph(
                "Requests running",
                "Batch size of each replica; dashed: its limit, as the engine, the inventory or the plateau tells it.",
                signal("replica:llm_requests_running", _SCOPE),
                signal("replica:llm_max_running_requests", _SCOPE, "{{instance}} limit"),
            ),
            graph(
                "Requests waiting",
                "Requests queued in each engine. A queue beside an idle cache is a batch limit set too low.",
                signal("replica:llm_requests_waiting", _SCOPE),
            ),
            graph(
                "KV cache usage",
                "KV blocks in use by live requests. It saws under pressure, so judge it together with preemptions.",
                signal("replica:llm_kv_cache_usage:ratio", _SCOPE),
                limit=1,
            ),
            graph(
                "Batch, share of its limit",
                "Mean batch size over the batch limit, 2 minutes; 100 % while requests wait is admission-limited.",
                signal("replica:llm_admission_fullness:ratio_avg2m", _SCOPE),
                limit=1,
            ),
            graph(
                "Preemptions",
                "Running requests thrown out for want of KV blocks, per second: their work is done again.",
                signal("replica:llm_preemptions:rate1m", _SCOPE),
            ),
            graph(
                "Queue share of TTFT",
                "Part of the time to the first token that is spent waiting for admission.",
                signal("replica:llm_queue_share_of_ttft:ratio_rate5m", _SCOPE),
                limit=1,
            ),
        ),
    )


def _latency() -> Row:
    return Row(
        "Latency",
        (
            graph(
                "Time to first token",
                "Median and p95 of the service over 5 minutes, p95 over 1 minute; dashed: the objective.",
                signal("service:llm_ttft_seconds:p50_5m", _SCOPE, "{{service}} p50"),
                signal("service:llm_ttft_seconds:p95_5m", _SCOPE, "{{service}} p95"),
                signal("service:llm_ttft_seconds:p95_1m", _SCOPE, "{{service}} p95 over 1m"),
                signal("service:llm_ttft_seconds:p95_pinned", _SCOPE, "{{service}} p95 is at least this"),
                queries.objective("ttft_p95_seconds"),
            ),
            graph(
                "Inter-token latency",
                "Gap between two tokens of one answer; dashed: the objective.",
                signal("service:llm_itl_seconds:p50_5m", _SCOPE, "{{service}} p50"),
                signal("service:llm_itl_seconds:p95_5m", _SCOPE, "{{service}} p95"),
                signal("service:llm_itl_seconds:p95_pinned", _SCOPE, "{{service}} p95 is at least this"),
                queries.objective("itl_p95_seconds"),
            ),
            graph(
                "Request duration p95",
                "From arrival to the last token.",
                signal("service:llm_request_duration_seconds:p95_5m", _SCOPE, "{{service}} p95"),
                signal("service:llm_request_duration_seconds:p95_pinned", _SCOPE, "{{service}} p95 is at least this"),
            ),
        ),
    )


def _throughput() -> Row:
    def both(title: str, description: str, prompt: str, generation: str) -> Cell:
        return graph(
            title,
            description,
            signal(prompt, _SCOPE, "{{instance}} in"),
            signal(generation, _SCOPE, "{{instance}} out"),
        )

    return Row(
        "Throughput and traffic",
        (
            both(
                "Tokens",
                "Prompt tokens (in, cached ones included) and generated tokens (out) per second.",
                "replica:llm_prompt_tokens:rate1m",
                "replica:llm_generation_tokens:rate1m",
            ),
            graph(
                "Requests finished",
                "Finished requests per second of each replica.",
                signal("replica:llm_requests:rate1m", _SCOPE),
            ),
            graph(
                "Errors",
                "Errors and aborts over finished requests, 5 minutes; dashed: the objective.",
                signal("replica:llm_request_errors:ratio_rate5m", _SCOPE),
                queries.objective("error_ratio"),
            ),
            both(
                "Lengths",
                "Mean length of prompts (in) and answers (out) of finished requests, tokens.",
                "replica:llm_request_prompt_tokens:mean_5m",
                "replica:llm_request_generation_tokens:mean_5m",
            ),
            graph(
                "Prefix-cache hits",
                "Prompt tokens found in the prefix cache over tokens looked up.",
                signal("replica:llm_prefix_cache_hit:ratio_rate5m", _SCOPE),
                limit=1,
            ),
            graph(
                "KV tokens per running request",
                "What one running request holds of the KV cache: with the cache's size it bounds the batch.",
                signal("replica:llm_tokens_per_running_request:avg5m", _SCOPE),
            ),
        ),
    )


def _canary() -> Row:
    def beside(title: str, description: str, name: str) -> Cell:
        replica, service = f"replica:{name}", f"service:{name}"
        return graph(title, description, queries.replica_over_service(replica, service, _SCOPE))

    return Row(
        "Canary beside the others",
        (
            graph(
                "TTFT p95 of each replica",
                "Over 1 minute. The canary's line should fall below the others' when a change helps.",
                signal("replica:llm_ttft_seconds:p95_1m", _SCOPE),
            ),
            beside(
                "TTFT p95 over the service's",
                "1 is like the service as a whole; a canary below it is faster.",
                "llm_ttft_seconds:p95_1m",
            ),
            beside(
                "ITL p95 over the service's",
                "1 is like the service as a whole; a canary above it pays for throughput with slower tokens.",
                "llm_itl_seconds:p95_1m",
            ),
        ),
    )


def _configuration() -> Row:
    def fact(heading: str, name: str, decimals: int | None = None) -> Column:
        return Column(heading, queries.by_replica(name, _SCOPE), decimals=decimals, width=120)

    return Row(
        "Configuration",
        (
            Cell(
                table(
                    "Replica facts",
                    "What the engines tell of their configuration; the batch limit also from the inventory or the "
                    "plateau. Empty means that nobody tells.",
                    (
                        Key("service", "Service", 100),
                        Key("model", "Model", 130),
                        Key("instance", "Replica", 140),
                        Key("engine", "Engine", 80),
                        Key("node", "Node", 90),
                    ),
                    (
                        fact("Batch limit", "replica:llm_max_running_requests", 0),
                        fact("KV cache tokens", "replica:llm_kv_cache_capacity_tokens", 0),
                        fact("Memory share", "replica:llm_kv_cache_memory_fraction", 0),
                    ),
                ),
                12,
                7,
            ),
            Cell(settings_table(), 12, 7),
        ),
    )
