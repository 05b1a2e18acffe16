"""PromQL of the dashboards: recorded signals by their catalogue name, and the few expressions over them.

Nothing here reads an exporter's family: dashboards work the same on every source (design §5). A name that no catalogue
knows raises at import, so a renamed signal cannot leave an empty panel behind.
"""

from dataclasses import dataclass

from rules.catalog import OBJECTIVES, SIGNALS, SOURCE_COUNTERS, SOURCE_GAUGES, Level

WATCHDOG = "Watchdog"

# What the recommender exports about itself and Prometheus about alerts and targets (contract; a test holds the
# recommender's part equal to its telemetry).
RECOMMENDER_METRICS = frozenset(
    {
        "optiinfra_component_up",
        "optiinfra_effect_measurements",
        "optiinfra_effect_ratio",
        "optiinfra_effect_rollouts",
        "optiinfra_intake_backlog",
        "optiinfra_intake_oldest_pending_seconds",
        "optiinfra_replica_knob",
        "optiinfra_webhook_notifications_total",
        "optiinfra_workflows",
        "optiinfra_workflows_in_flight",
    }
)
PROMETHEUS_METRICS = frozenset({"ALERTS", "ALERTS_FOR_STATE", "scrape_duration_seconds", "up"})

_UNITS = {"seconds": "s", "ratio": "percentunit", "bytes": "bytes", "celsius": "celsius", "watts": "watt"}
_RATE_UNITS = {"requests": "reqps", "tokens": "si:tok/s", "bytes": "Bps"}


@dataclass(frozen=True, slots=True)
class Query:
    """One target of a panel. `unit` is Grafana's id of the unit; `legend` uses Grafana's `{{label}}` templates."""

    expr: str
    legend: str
    unit: str


# For series that are labelled by service and not by model.
_SERVICE_ONLY = 'service=~"$service"'


@dataclass(frozen=True, slots=True)
class Scope:
    """Label selectors of a dashboard, one per level: what its variables narrow."""

    replica: str = _SERVICE_ONLY
    service: str = _SERVICE_ONLY
    node: str = 'node=~"$node"'
    gpu: str = 'node=~"$node"'

    def of(self, level: Level) -> str:
        """The selector for the series of a level."""
        return {Level.REPLICA: self.replica, Level.SERVICE: self.service, Level.NODE: self.node, Level.GPU: self.gpu}[
            level
        ]


_LEGENDS = {
    Level.REPLICA: "{{instance}}",
    Level.SERVICE: "{{service}}",
    Level.NODE: "{{node}}",
    Level.GPU: "{{node}} GPU {{gpu}}",
}


def grafana_unit(name: str) -> str:
    """Grafana's unit of a signal, from the catalogue's base unit; `:rate…` makes it a unit per second.

    Raises KeyError when no catalogue has the signal.
    """
    base = _base_unit(name)
    if name.rsplit(":", 1)[-1].startswith("rate"):
        return _RATE_UNITS.get(base, "suffix:/s")
    return _UNITS.get(base, "short")


def _base_unit(name: str) -> str:
    if name in SIGNALS:
        return SIGNALS[name].unit
    stem, _, window = name.rpartition(":")
    if stem in SOURCE_COUNTERS and window.startswith("rate"):
        return stem.rsplit("_", 1)[-1]
    family = SOURCE_GAUGES[name]
    suffix = family.rsplit("_", 1)[-1]
    return "ratio" if suffix in {"ratio", "fraction"} else suffix


def signal(name: str, scope: Scope, legend: str | None = None) -> Query:
    """A recorded signal as it is, narrowed to the dashboard's variables."""
    level = Level(name.split(":", 1)[0])
    return Query(f"{name}{{{scope.of(level)}}}", legend or _LEGENDS[level], grafana_unit(name))


def total(name: str, scope: Scope, legend: str = "all") -> Query:
    """A signal that adds up, summed over everything selected."""
    one = signal(name, scope)
    return Query(f"sum({one.expr})", legend, one.unit)


def by_service(name: str, scope: Scope) -> Query:
    """A service-level signal as one row per service and model (for tables)."""
    one = signal(name, scope)
    return Query(f"max by (service, model) ({one.expr})", "", one.unit)


def by_replica(name: str, scope: Scope) -> Query:
    """A replica-level signal as one row per replica (for tables)."""
    one = signal(name, scope)
    return Query(f"max by (service, model, instance, engine, node) ({one.expr})", "", one.unit)


def score(name: str, scope: Scope) -> Query:
    """A score of a service as one row (for tables): scores know no model."""
    one = signal(name, scope)
    return Query(f"max by (service) ({one.expr})", "", one.unit)


def part(name: str, parts: str, scope: Scope) -> Query:
    """The lowest of some parts of a service's score, one row a service; `parts` is a regular expression of names."""
    one = signal(name, scope)
    return Query(f'min by (service) ({name}{{{scope.service}, part=~"{parts}"}})', "", one.unit)


def use(scope: Scope) -> Query:
    """How much of a service is in use, and in words by the label `state`; one row a service."""
    one = signal("service:utilization:state", scope)
    return Query(f"max by (service, state) ({one.expr})", "", one.unit)


def objective(name: str) -> Query:
    """What a service promises, whatever its model: the inventory's objective, else the default."""
    promised = OBJECTIVES[name]
    return Query(f"{promised.series}{{{_SERVICE_ONLY}}}", "{{service}} objective", _UNITS[promised.unit])


def share_of_objective(name: str, objective_name: str, scope: Scope) -> Query:
    """A service-level signal over its objective: 1 is the limit of what was promised."""
    value, promised = signal(name, scope), objective(objective_name)
    expr = f"{value.expr} / on (service) group_left () {promised.expr}"
    return Query(f"max by (service, model) ({expr})", "{{service}}", "percentunit")


def replica_over_service(replica_name: str, service_name: str, scope: Scope) -> Query:
    """A replica's figure over its service's: 1 is like the others, so a canary that helps or hurts stands out."""
    replica, service = signal(replica_name, scope), signal(service_name, scope)
    return Query(
        f"{replica.expr} / on (service, model) group_left () ({service.expr} > 0)", "{{instance}}", "suffix: x"
    )


# -- what is wrong ------------------------------------------------------------------------------------------------

_SUBJECT = "alertname, severity, bottleneck, kind, service, instance, node"


def _firing(extra: str = "") -> str:
    return f'ALERTS{{alertstate="firing", alertname!="{WATCHDOG}"{extra}}}'


def firing_count(extra: str = "") -> Query:
    """Alerts firing. Zero is confirmed by the Watchdog; without it the answer is unknown, hence empty."""
    watchdog = f'max(ALERTS{{alertstate="firing", alertname="{WATCHDOG}"}})'
    return Query(f"count({_firing(extra)}) or 0 * {watchdog}", "firing", "short")


def firing_alerts() -> Query:
    """One row per firing alert; the value is the seconds since its condition first held."""
    since = f"time() - max by ({_SUBJECT}) (ALERTS_FOR_STATE)"
    return Query(f"({since}) and on ({_SUBJECT}) {_firing()}", "", "s")


def bottlenecks(scope: Scope) -> tuple[Query, ...]:
    """How many replicas, services, nodes and GPUs show each bottleneck at each instant."""
    names = tuple(f"{level}:bottleneck:evidence" for level in Level)
    return tuple(
        Query(
            f"count by (bottleneck) ({signal(name, scope).expr})",
            f"{{{{bottleneck}}}} ({Level(name.split(':', 1)[0])})",
            "short",
        )
        for name in names
    )


def replicas_down(scope: Scope) -> Query:
    """Replicas that Prometheus knows and that do not answer."""
    known, answering = signal("service:llm_replicas:count", scope), signal("service:llm_replicas_up:count", scope)
    return Query(f"sum({known.expr}) - (sum({answering.expr}) or 0 * sum({known.expr}))", "down", "short")


def memory_used(scope: Scope) -> Query:
    """Share of host memory that is not available."""
    available = signal("node:host_memory_available:ratio", scope)
    return Query(f"1 - {available.expr}", available.legend, available.unit)


# -- the recommender and the stack's own health -------------------------------------------------------------------


def workflows(states: tuple[str, ...] = ()) -> Query:
    """Workflows by state, without the states that none is in; with `states`, how many are in one of them."""
    if not states:
        return Query("sum by (state) (optiinfra_workflows) > 0", "{{state}}", "short")
    return Query(f'sum(optiinfra_workflows{{state=~"{"|".join(states)}"}})', "workflows", "short")


def replica_knob(knob: str, unit: str) -> Query:
    """What each replica is configured with, as the recommender knows it; one row a replica."""
    selector = f'{_SERVICE_ONLY}, knob="{knob}"'
    return Query(f"max by (service, instance) (optiinfra_replica_knob{{{selector}}})", "", unit)


def knob_changes() -> str:
    """Present for a minute after a replica's configuration changed."""
    return f"changes(optiinfra_replica_knob{{{_SERVICE_ONLY}}}[1m]) > 0"


def effect_ratio(source: str) -> Query:
    """New over old of each metric after each playbook's changes, as predicted or as measured."""
    ratio = f'optiinfra_effect_ratio{{source="{source}"}}'
    return Query(f"max by (playbook, engine, metric) ({ratio})", f"{{{{playbook}}}} {{{{metric}}}} {source}", "none")


def effect_measurements() -> Query:
    """How many changes `effect_ratio` comes from."""
    return Query("max by (playbook, engine, metric) (optiinfra_effect_measurements)", "", "none")


def effect_rollouts() -> Query:
    """Measured changes by playbook and by how they ended."""
    return Query("max by (playbook, engine, state) (optiinfra_effect_rollouts)", "{{playbook}} {{state}}", "short")


def components() -> Query:
    """Whether each part of the recommender works (1) or not (0)."""
    return Query("min by (component) (optiinfra_component_up)", "{{component}}", "short")


def components_down() -> Query:
    """How many parts of the recommender do not work."""
    return Query("sum(1 - optiinfra_component_up)", "down", "short")


def notifications_per_minute() -> Query:
    """Webhook notifications by what became of them."""
    return Query("60 * sum by (outcome) (rate(optiinfra_webhook_notifications_total[5m]))", "{{outcome}}", "short")


def intake_backlog() -> Query:
    """Alerts accepted and not yet looked at."""
    return Query("sum(optiinfra_intake_backlog)", "pending", "short")


def oldest_pending() -> Query:
    """Age of the oldest alert not yet looked at."""
    return Query("max(optiinfra_intake_oldest_pending_seconds)", "age", "s")


def targets_down() -> Query:
    """Scrape targets that do not answer, by job."""
    return Query("sum by (job) (1 - up)", "{{job}}", "short")


def scrape_duration() -> Query:
    """The slowest target of each job."""
    return Query("max by (job) (scrape_duration_seconds)", "{{job}}", "s")
