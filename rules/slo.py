"""Generates `rules/slo.yml`: error ratios, error budgets and burn-rate alerts, from `rules.catalog.slos`.

Events are counted, not quantiles. A bound that is a bucket bound is counted exactly; one between two is interpolated
as `histogram_quantile` does, so that "p95 within its objective" and "the budget is kept" are one statement.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from rules.catalog import ALERTS, service_stem
from rules.catalog.slos import (
    AVAILABILITY,
    BURN_WINDOWS,
    FAST,
    LATENCY_SLOS,
    LONG_WINDOWS,
    PERIOD,
    SLOW,
    SUMMED_WINDOWS,
    TRICKLE_LONG,
    TRICKLE_SHORT,
    BurnWindow,
    LatencySlo,
)
from rules.generate.document import HEADER, RuleDumper, Rules
from rules.promql import first_of, indent

SLO_FILE = Path(__file__).parent / "slo.yml"

# Series of these groups have a sample at each evaluation, so that a sum of rates times the interval counts events. Both
# intervals are shorter than Prometheus's look-back of 5m, or the newest sample would be missing at times.
INTERVAL_SECONDS = 60
PERIOD_INTERVAL = "2m30s"

_RUNBOOKS = "https://github.com/optiinfra/optiinfra/blob/main/docs/runbooks"
_NOTES = """\
# Service-level objectives (tuning §6, B21). What is counted: rules/catalog/slos.py; figures: thresholds.yml.
#
# - A latency objective needs a histogram. An engine without buckets gives no error ratio: unknown, never zero.
# - An objective between two bucket bounds is interpolated, as histogram_quantile does; one above the last bound counts
#   everything beyond that bound as bad. Bounds are read from the label `le` in PromQL, so they need no recommender.
# - Long windows add up rates recorded once a minute: an hour of idle weighs nothing, which a mean of ratios would not
#   give. Prometheus must keep 30 days for a budget of 30 days; with less, the budget is that of what it keeps.
"""


def slo_rules() -> str:
    """The text of `rules/slo.yml`."""
    groups = [
        {
            "name": "slo",
            "interval": f"{INTERVAL_SECONDS // 60}m",
            "rules": [*_bounds(), *_events(), *_budgets(), *_windows(), *_evidence(), *_alerts()],
        },
        {"name": "slo_period", "interval": PERIOD_INTERVAL, "rules": [*_period()]},
    ]
    return HEADER + _NOTES + yaml.dump({"groups": groups}, Dumper=RuleDumper, sort_keys=False, width=120)


def _bounds() -> Rules:
    """Bucket bounds as numbers, and what each bucket adds to the events within the objective."""
    for slo in LATENCY_SLOS:
        yield _record("service:slo_objective_seconds", f"service:objective:{slo.bound}", slo=slo.name)
        series = f"sum by (service, engine, le) ({service_stem(slo.histogram)}_bucket:series)"
        yield _record("service:slo_bound_series:count", series, slo=slo.name)
    yield _record("service:slo_bound_seconds", _bound_numbers())
    lowest = "max by (service, slo) (min by (service, engine, slo) (service:slo_bound_seconds))"
    yield _record("service:slo_bound_lowest_seconds", lowest)
    beyond = "service:slo_bound_seconds > on (service, slo) group_left () service:slo_objective_seconds"
    yield _record("service:slo_bound_above_seconds", f"min by (service, engine, slo) ({beyond})")
    reached = "service:slo_bound_seconds <= on (service, slo) group_left () service:slo_objective_seconds"
    first = "0 * service:slo_bound_above_seconds"  # the first bucket starts at 0
    yield _record("service:slo_bound_below_seconds", f"max by (service, engine, slo) ({reached})\nor\n{first}")
    yield _record("service:slo_bound_interpolation:ratio", _INTERPOLATION)
    yield _record("service:slo_bound_weight:ratio", _WEIGHTS)


def _bound_numbers() -> str:
    """The bounds that all replicas of an engine share, as numbers.

    PromQL cannot turn a label into a number, but histogram_quantile does: the highest quantile of a histogram with one
    finite bucket is the bound of that bucket. During a roll-out replicas may have different bounds, and a sum over some
    of them would call the events of the others bad.
    """
    shared = (
        'service:slo_bound_series:count{le!="+Inf"}\n'
        '== on (service, engine, slo) group_left () service:slo_bound_series:count{le="+Inf"}'
    )
    named = f'label_replace(\n{indent(shared)},\n  "bound", "$1", "le", "(.*)"\n)'
    histogram = first_of((named, f'label_replace(\n{indent(named)},\n  "le", "+Inf", "", ""\n)'))
    number = f"histogram_quantile(\n  1,\n{indent(histogram)}\n)"
    relabelled = f'label_replace(\n{indent(number)},\n  "le", "$1", "bound", "(.*)"\n)'
    return f"sum by (service, engine, slo, le) (\n{indent(relabelled)}\n)"


# How far the objective lies from the bound below to the one above.
_INTERPOLATION = """\
(
  0 * service:slo_bound_above_seconds + on (service, slo) group_left () service:slo_objective_seconds
  - service:slo_bound_below_seconds
)
/ ((service:slo_bound_above_seconds - service:slo_bound_below_seconds) > 0)"""

# Good events are buckets times these: f of the bucket above the objective and 1 - f of the one below. Without a bucket
# above, all of the last one counts.
_WEIGHTS = """\
0 * (service:slo_bound_seconds == on (service, engine, slo) group_left () service:slo_bound_above_seconds)
+ on (service, engine, slo) group_left () service:slo_bound_interpolation:ratio
or
0 * (service:slo_bound_seconds == on (service, engine, slo) group_left () service:slo_bound_below_seconds)
+ on (service, engine, slo) group_left () (
  1 - service:slo_bound_interpolation:ratio
  or
  0 * service:slo_bound_below_seconds + 1
)"""


def _events() -> Rules:
    for slo in LATENCY_SLOS:
        buckets = f"{service_stem(slo.histogram)}_bucket:rate5m"
        # A service whose engines have other bounds each is judged engine by engine.
        good = (
            "sum by (service, engine) (\n"
            f"  sum by (service, engine, le) ({buckets})\n"
            f'  * on (service, engine, le) group_left () service:slo_bound_weight:ratio{{slo="{slo.name}"}}\n'
            ")"
        )
        bad = f'clamp_min(\n  sum by (service, engine) ({buckets}{{le="+Inf"}})\n  - {_indented_tail(good)},\n  0\n)'
        yield _record("service:slo_errors:rate5m", f"sum by (service) (\n{indent(bad)}\n)", slo=slo.name)
        weighed = f'on (service, engine) service:slo_bound_weight:ratio{{slo="{slo.name}"}}'
        events = f'sum by (service) (\n  {buckets}{{le="+Inf"}} and {weighed}\n)'
        yield _record("service:slo_events:rate5m", events, slo=slo.name)
    # Only of replicas that tell both.
    failed, ended = f"{AVAILABILITY.errors}:rate5m", f"{AVAILABILITY.events}:rate5m"
    yield _record("service:slo_errors:rate5m", f"sum by (service) ({failed} and {ended})", slo=AVAILABILITY.name)
    yield _record("service:slo_events:rate5m", f"sum by (service) ({ended} and {failed})", slo=AVAILABILITY.name)


def _indented_tail(expr: str) -> str:
    first, *rest = expr.splitlines()
    return "\n".join((first, *(f"  {line}" for line in rest)))


def _budgets() -> Rules:
    """What may be bad, and from which share on a window burns too fast.

    A large budget makes a factor unreachable: 14.4 times 10 % is more than everything. Everything bad must still alert,
    so no limit is above what can be reached.
    """
    for slo in (*LATENCY_SLOS, AVAILABILITY):
        budget = f"service:objective:{slo.budget} < 1"
        if isinstance(slo, LatencySlo):
            budget += f"\nand on (service) service:objective:{slo.bound}"
        yield _record("service:slo_error_budget:ratio", budget, slo=slo.name)
    for window in BURN_WINDOWS:
        limit = (
            "clamp_max(\n"
            f"  service:slo_error_budget:ratio * on (service) group_left () service:threshold:{window.threshold},\n"
            '  scalar(threshold:slo_reachable_error_ratio{service=""})\n'
            ")"
        )
        yield _record("service:slo_error_limit:ratio", limit, window=window.long)


def _windows() -> Rules:
    """Counts and ratios of each window. All are of series with `service` and `slo`, so one rule serves every SLO."""
    yield _record("service:slo_error:ratio_rate5m", "service:slo_errors:rate5m / (service:slo_events:rate5m > 0)")
    for window in SUMMED_WINDOWS:
        yield _record(f"service:slo_error:ratio_rate{window}", _ratio(window))
    for window in LONG_WINDOWS:
        yield _record(f"service:slo_events:increase{window}", _count("events", window))
    yield _record(f"service:slo_errors:increase{TRICKLE_LONG}", _count("errors", TRICKLE_LONG))


def _ratio(window: str) -> str:
    bad, events = (f"sum_over_time(service:slo_{what}:rate5m[{window}])" for what in ("errors", "events"))
    return f"{bad} / ({events} > 0)"


def _count(what: str, window: str) -> str:
    return f"{INTERVAL_SECONDS} * sum_over_time(service:slo_{what}:rate5m[{window}])"


def _period() -> Rules:
    yield _record(f"service:slo_error:ratio_rate{PERIOD}", _ratio(PERIOD))
    remaining = f"1 - service:slo_error:ratio_rate{PERIOD} / (service:slo_error_budget:ratio > 0)"
    yield _record("service:slo_error_budget_remaining:ratio", remaining)
    least = "min by (service) (service:slo_error_budget_remaining:ratio)"
    yield _record("service:slo_error_budget_remaining:min", least)


def _evidence() -> Rules:
    """Burn rates that are too high over a long window and still now: the value is that of the long window."""
    for burn in (FAST, SLOW):
        conditions = [_too_fast(each) for each in BURN_WINDOWS if each.burn == burn]
        if burn == SLOW:
            conditions.append(_trickle())
        joined = "\nor\n".join(f"(\n{indent(each)}\n)" for each in conditions)
        expr = f"(\n{indent(joined)}\n)\n/ (service:slo_error_budget:ratio > 0)"
        yield _record("service:bottleneck:evidence", expr, bottleneck="slo_burn", burn=burn)


def _over(window: str, limit: str) -> str:
    return f'service:slo_error:ratio_rate{window} > on (service, slo) service:slo_error_limit:ratio{{window="{limit}"}}'


def _too_fast(window: BurnWindow) -> str:
    return (
        f"{_over(window.long, window.long)}\n"
        f"and on (service, slo) ({_over(window.short, window.long)})\n"
        f"and on (service, slo) (service:slo_events:increase{window.long}"
        " >= on (service) group_left () service:threshold:min_slo_events)\n"
        f"{_known_since(window.short)}"
    )


def _trickle() -> str:
    """Too few events for a share to mean much, but so many bad ones that they are no accident."""
    few = f"service:slo_events:increase{TRICKLE_LONG} < on (service) group_left () service:threshold:min_slo_events"
    bad = f"service:slo_errors:increase{TRICKLE_LONG} >= on (service) group_left () service:threshold:min_slo_errors"
    return (
        f"{_over(TRICKLE_LONG, TRICKLE_LONG)}\n"
        f"and on (service, slo) ({_over(TRICKLE_SHORT, TRICKLE_LONG)})\n"
        f"and on (service, slo) ({few})\n"
        f"and on (service, slo) ({bad})\n"
        f"{_known_since(TRICKLE_SHORT)}"
    )


def _known_since(window: str) -> str:
    """A window that is hardly begun would judge three days by their first minutes, which are a cold start."""
    return f"and on (service, slo) service:slo_events:rate5m offset {window}"


_SUMMARIES = {
    FAST: "A service spends its error budget so fast that it is gone within days.",
    SLOW: "A service spends its error budget faster than it lasts.",
}
_ALERT_NAMES = {FAST: "LLMErrorBudgetBurnFast", SLOW: "LLMErrorBudgetBurnSlow"}
_FOR = {FAST: "2m", SLOW: "15m"}
_KEPT = {FAST: "5m", SLOW: "30m"}


def _alerts() -> Rules:
    for burn, name in _ALERT_NAMES.items():
        alert = ALERTS[name]
        yield {
            "alert": name,
            "expr": f'service:bottleneck:evidence{{bottleneck="{alert.bottleneck.value}",burn="{burn}"}}',
            "for": _FOR[burn],
            "keep_firing_for": _KEPT[burn],
            "labels": {
                "severity": alert.severity.value,
                "bottleneck": alert.bottleneck.value,
                "kind": alert.kind.value,
            },
            "annotations": {
                "summary": _SUMMARIES[burn],
                "description": " ".join(_description(burn)),
                "runbook_url": f"{_RUNBOOKS}/{name}.md",
            },
        }


def _description(burn: str) -> Iterator[str]:
    limits = " or ".join(
        f'{{{{ with query (printf "service:threshold:{each.threshold}{{service=%q}}" $labels.service) }}}}'
        "{{ . | first | value | humanize }}"
        f"{{{{ else }}}}unknown{{{{ end }}}} over {each.long} and {each.short}"
        for each in BURN_WINDOWS
        if each.burn == burn
    )
    left = "service:slo_error_budget_remaining:ratio{service=%q,slo=%q}"
    yield "Service {{ $labels.service }}: the error budget of {{ $labels.slo }} burns"
    yield '{{ printf "%.1f" $value }} times as fast as it may'
    yield f"(limit {limits}); of the budget of {PERIOD}"
    yield (
        f'{{{{ with query (printf "{left}" $labels.service $labels.slo) }}}}'
        "{{ . | first | value | humanizePercentage }}{{ else }}an unknown share{{ end }} is left."
    )


def _record(name: str, expr: str, **labels: str) -> dict[str, str | dict[str, str]]:
    rule: dict[str, str | dict[str, str]] = {"record": name}
    if labels:
        rule["labels"] = labels
    return rule | {"expr": expr}
