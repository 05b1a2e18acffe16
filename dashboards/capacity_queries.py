"""PromQL about capacity and cost: series that have `service` and no `model` (`rules/capacity.yml`)."""

from dashboards.queries import Query, Scope, signal
from rules.catalog import SIGNALS, THRESHOLDS

NOW = "service:llm_scale_in:safe"
HALF_AN_HOUR = "service:llm_scale_in:safe_min30m"
# Services whose replicas are known; what is asked of a service is asked of these.
_KNOWN = "service:llm_replicas_expected:count"


def of_service(name: str, scope: Scope, labels: str = "") -> Query:
    """A service's signal as one row a service, the highest of what `labels` (matchers) leave."""
    one = signal(name, scope)
    return Query(f"max by (service) ({_selected(name, scope, labels)})", "{{service}}", one.unit)


def up(scope: Scope, legend: str = "{{service}} up") -> Query:
    """Replicas that answer, of all models of a service."""
    one = signal("service:llm_replicas_up:count", scope)
    return Query(f"sum by (service) ({one.expr})", legend, one.unit)


def needed(scope: Scope) -> Query:
    """Replicas that each signal asks for."""
    return signal("service:llm_replicas_needed:count", scope, "{{service}} {{signal}}")


def needed_by(name: str, scope: Scope) -> Query:
    """Replicas that the signal `name` asks for, one row a service."""
    return of_service("service:llm_replicas_needed:count", scope, f'signal="{name}"')


def forecast(horizon: str, scope: Scope, legend: str = "") -> Query:
    """Demand that is forecast over what the replicas that report can take: the highest forecast of the scarcer one."""
    name = "service:llm_capacity_usage:forecast"
    chosen = _selected(name, scope, f'horizon="{horizon}"')
    return Query(f"max by (service) ({chosen})", legend, signal(name, scope).unit)


def usage_after_scale_in(scope: Scope) -> Query:
    """Demand now over what the replicas that stay after a step down can take, of each resource."""
    return signal("service:llm_scale_in_usage:ratio", scope, "{{service}} {{resource}}")


def scale_in_limit(scope: Scope) -> Query:
    """What may at most be in use of the replicas that stay."""
    limit = f"{_threshold('scale_in_usage_ratio')}{{{scope.service}}}"
    return Query(limit, "{{service}} limit", usage_after_scale_in(scope).unit)


def percent(query: Query) -> Query:
    """A ratio that goes beyond 1, for an axis: Grafana 7 cuts its own unit for ratios off at 100 %."""
    return Query(f"100 * {query.expr}", query.legend, "suffix:%")


def usage(scope: Scope) -> Query:
    """Demand now over what the replicas that report can take, of each resource."""
    return signal("service:llm_capacity_usage:ratio", scope, "{{service}} {{resource}}")


# -- what a scale-in asks for ---------------------------------------------------------------------------------------
# The parts of service:llm_scale_in:safe, each 1 where it is fulfilled, 0 where it is not and absent where that is not
# known. Only the rule decides; a test holds that its parts and these read the same.


def everything_reports(scope: Scope) -> Query:
    """Whether every replica that is there tells its load."""
    reporting = _selected("service:llm_replicas_reporting:count", scope)
    return _condition(f"{reporting} == bool {_selected(_KNOWN, scope)}")


def enough_left(scope: Scope) -> Query:
    """Whether a step down leaves as many replicas as the service must have."""
    left = _selected("service:llm_scale_in_replicas:count", scope)
    return _condition(f"{left} >= bool {_threshold('scale_in_replicas_min')}")


def room_left(resource: str, scope: Scope) -> Query:
    """Whether those would have room for what is there to do."""
    usage_then = _selected("service:llm_scale_in_usage:ratio", scope, f'resource="{resource}"')
    return _condition(f"max by (service) ({usage_then}) < bool {_threshold('scale_in_usage_ratio')}")


def queues_stay_short(scope: Scope) -> Query:
    """Whether the queues of 15 minutes, spread over those, are short."""
    queued = _selected("service:llm_queue_requests:avg2m", scope)
    left = _selected("service:llm_scale_in_replicas:count", scope)
    spread = f"avg_over_time({queued}[15m]) / ({left} > 0)"
    return _condition(f"{spread} < bool {_threshold('scale_in_queue_length')}")


def budgets_kept(scope: Scope) -> Query:
    """Whether no error budget burns too fast; not known of a service of which no events are counted."""
    errors, budget = (
        _selected(name, scope) for name in ("service:slo_error:ratio_rate6h", "service:slo_error_budget:ratio")
    )
    burning = f"{errors} / ({budget} > 0) >= on (service) group_left () {_threshold('scale_in_burn_ratio')}"
    known = f"{_some(scope)} and on (service) {_selected('service:slo_events:rate5m', scope)}"
    return _unless(burning, known, scope)


def nothing_asks_for_more(scope: Scope) -> Query:
    """Whether no signal, and no forecast of an hour, asks for more than would stay."""
    left = _selected("service:llm_scale_in_replicas:count", scope)
    asked = _selected("service:llm_replicas_needed:count", scope)
    return _unless(f"{asked} > on (service) group_left () {left}", _some(scope), scope)


def no_bottleneck(scope: Scope) -> Query:
    """Whether nothing limits the service or one of its replicas now; those that ask for less do not count."""
    harmless = 'bottleneck!~"over_provisioned|cost_per_token|cache_inefficiency"'
    own = _selected("service:bottleneck:evidence", scope, harmless)
    replicas = _selected("replica:bottleneck:evidence", scope)
    found = f"(max by (service) ({own}) or max by (service) ({replicas}))"
    return _unless(found, _some(scope), scope)


def no_change(scope: Scope) -> Query:
    """Whether OptiInfra changes nothing; not known while its recommender is scraped and does not answer."""
    in_flight = f"max by (service) (last_over_time(optiinfra_workflows_in_flight{{{scope.service}}}[5m])) > 0"
    known = f'{_some(scope)} unless on () max(up{{job="recommender"}}) == 0'
    return _unless(in_flight, known, scope)


def _selected(name: str, scope: Scope, labels: str = "") -> str:
    """A signal of the services in scope; KeyError when no catalogue has it."""
    matchers = ", ".join(part for part in (scope.service, labels) if part)
    return f"{SIGNALS[name].name}{{{matchers}}}"


def _threshold(name: str) -> str:
    """The figure that the rules compare a service with; KeyError when no catalogue has it."""
    return f"service:threshold:{THRESHOLDS[name].name}"


def _some(scope: Scope) -> str:
    """1 for each service in scope."""
    return f"0 * {_selected(_KNOWN, scope)} + 1"


def _condition(expr: str) -> Query:
    return Query(f"max by (service) ({expr})", "", "short")


def _unless(violated: str, known: str, scope: Scope) -> Query:
    """1 where it is `known` and not `violated`, 0 where it is violated."""
    zero = f"0 * {_selected(_KNOWN, scope)}"
    return _condition(f"({known} unless on (service) {violated}) or ({zero} and on (service) {violated})")
