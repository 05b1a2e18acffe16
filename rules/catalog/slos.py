"""Service-level objectives as data: what is counted, over which windows, and which burn rates alert.

An objective of the inventory says a bound and the share of events that may miss it: `ttft_p95_seconds: 2` is "95 % of
first tokens within 2 s", so 5 % is its error budget (`ttft_slow_ratio` widens or narrows it). A service that exactly
keeps its objectives burns each budget at exactly 1. Windows and budget shares are those of the SRE workbook (ch. 5);
a burn factor is computed from them and never typed.
"""

from dataclasses import dataclass

from rules.catalog.signal import Signal

PERIOD_DAYS = 30


@dataclass(frozen=True, slots=True)
class Slo:
    """What is counted. `budget` names the objective that says which share may be bad."""

    name: str
    budget: str
    help: str


@dataclass(frozen=True, slots=True)
class LatencySlo(Slo):
    """Events of a histogram (signal stem) that are slower than the objective `bound` are bad."""

    histogram: str
    bound: str


@dataclass(frozen=True, slots=True)
class RatioSlo(Slo):
    """Of the counter `events` (signal stem) those of `errors` are bad."""

    events: str
    errors: str


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """A burn rate that alerts: `budget_share` of the period's budget spent in `long_hours` and still being spent.

    `burn` is `fast` (a person is paged) or `slow` (a ticket).
    """

    burn: str
    budget_share: float
    long: str
    long_hours: int
    short: str

    @property
    def factor(self) -> float:
        """How many times as fast as the budget lasts the whole period: share of it x period / window."""
        return round(self.budget_share * PERIOD_DAYS * 24 / self.long_hours, 6)

    @property
    def threshold(self) -> str:
        """The threshold that carries the factor."""
        return f"slo_burn_{self.long}_factor"


LATENCY_SLOS = (
    LatencySlo(
        "ttft", "ttft_slow_ratio", "First tokens within the objective.", "replica:llm_ttft_seconds", "ttft_p95_seconds"
    ),
    LatencySlo(
        "itl",
        "itl_slow_ratio",
        "Gaps between tokens within the objective.",
        "replica:llm_itl_seconds",
        "itl_p95_seconds",
    ),
    LatencySlo(
        "request_duration",
        "request_duration_slow_ratio",
        "Whole requests within the objective; only where the inventory sets one.",
        "replica:llm_request_duration_seconds",
        "request_duration_p95_seconds",
    ),
)
AVAILABILITY = RatioSlo(
    "availability",
    "error_ratio",
    "Requests that end in neither an error nor an abort.",
    "replica:llm_requests",
    "replica:llm_request_errors",
)

FAST, SLOW = "fast", "slow"
BURN_WINDOWS = (
    BurnWindow(FAST, 0.02, "1h", 1, "5m"),
    BurnWindow(FAST, 0.05, "6h", 6, "30m"),
    BurnWindow(SLOW, 0.10, "1d", 24, "2h"),
    BurnWindow(SLOW, 0.10, "3d", 72, "6h"),
)
# With less traffic than the sample gate of the longest window, single errors are counted and not shares: the longest
# window with this short one.
TRICKLE_LONG, TRICKLE_SHORT = "3d", "1d"

# 5m is the rate itself; the others add it up. The period has a group of its own, evaluated less often.
SUMMED_WINDOWS = ("30m", "1h", "2h", "6h", "1d", "3d")
LONG_WINDOWS = tuple(each.long for each in BURN_WINDOWS)
PERIOD = f"{PERIOD_DAYS}d"

SLO_SIGNALS = (
    Signal("service:slo_bound_series:count", "", "Series with this bucket bound; labels `engine`, `slo`, `le`."),
    Signal("service:slo_bound_seconds", "seconds", "Bucket bounds that all replicas of an engine share; label `slo`."),
    Signal("service:slo_bound_lowest_seconds", "seconds", "Bound of the first bucket; label `slo`."),
    Signal("service:slo_objective_seconds", "seconds", "The objective that an event must be within; label `slo`."),
    Signal("service:slo_bound_above_seconds", "seconds", "First bound beyond the objective; labels `engine`, `slo`."),
    Signal("service:slo_bound_below_seconds", "seconds", "Last bound within the objective; labels `engine`, `slo`."),
    Signal("service:slo_bound_interpolation:ratio", "ratio", "How far the objective lies between its two bounds."),
    Signal("service:slo_bound_weight:ratio", "ratio", "What each bucket adds to the good events; label `slo`."),
    Signal("service:slo_error_budget:ratio", "ratio", "Share of events that may be bad; label `slo`."),
    Signal("service:slo_error_limit:ratio", "ratio", "Share of bad events from which a window burns too fast."),
    Signal("service:slo_events:rate5m", "events", "Events that count, per second; label `slo`."),
    Signal("service:slo_errors:rate5m", "events", "Bad events per second; label `slo`."),
    *(
        Signal(f"service:slo_events:increase{window}", "events", f"Events in {window}: the sample gate.")
        for window in LONG_WINDOWS
    ),
    Signal(f"service:slo_errors:increase{TRICKLE_LONG}", "events", f"Bad events in {TRICKLE_LONG}."),
    *(
        Signal(f"service:slo_error:ratio_rate{window}", "ratio", f"Bad events over all in {window}; label `slo`.")
        for window in ("5m", *SUMMED_WINDOWS, PERIOD)
    ),
    Signal(
        "service:slo_error_budget_remaining:ratio",
        "ratio",
        f"Error budget of {PERIOD} that is left; below 0 it is overspent; label `slo`.",
    ),
    Signal("service:slo_error_budget_remaining:min", "ratio", "The same of the objective that has least left."),
)
