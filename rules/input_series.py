"""How long the input series of a promtool test go on."""

import re
from collections.abc import Iterator

from rules.pack import RuleTest

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_GAP = re.compile(r"_(?:x(\d+))?")
_RUN = re.compile(r"[^x]*x(\d+)")


def seconds(duration: str) -> float:
    """`1m30s` in seconds; `0` has no unit."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def samples(values: str) -> tuple[int, bool]:
    """How many steps promtool's notation spans, and whether it says by a gap or `stale` that the end is meant."""
    steps, meant = 0, False
    for item in values.split():
        if gap := _GAP.fullmatch(item):
            steps, meant = steps + int(gap[1] or 1), True
        elif run := _RUN.fullmatch(item):
            steps, meant = steps + int(run[1]) + 1, False  # `1x3` is a sample and three more
        else:
            steps, meant = steps + 1, item == "stale"
    return steps, meant


def early_ends(test: RuleTest) -> Iterator[str]:
    """The series of a test that end before its last check without saying so, in words."""
    checks = [str(check["eval_time"]) for check in (*test.queries, *test.alerts)]
    last = max(checks, key=seconds, default="0s")
    for series in test.series:
        steps, meant = samples(str(series["values"]))
        end = (steps - 1) * seconds(test.interval)
        if not meant and end < seconds(last):
            yield f"{series['series']} ends at {end:g}s, before the check at {last}: go on, or end with stale"
