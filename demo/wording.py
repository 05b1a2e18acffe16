"""How the story writes figures, plans and results: data to lines, nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

from demo.readings import Figures
from recommender.wording import metric_name

UNKNOWN = "?"


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    """A figure with its unit; `?` when it is not known."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}{unit}"


def seconds(value: float | None) -> str:
    """A duration with a precision that suits it."""
    if value is None:
        return UNKNOWN
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"


def traffic(service: str, figures: Figures) -> str:
    """One line of live figures."""
    return (
        f"{service}: running {number(figures.running)}, waiting {number(figures.waiting)}, "
        f"{number(figures.tokens_per_second)} tok/s, TTFT p95 {seconds(figures.ttft_p95_seconds)}, "
        f"ITL p95 {seconds(figures.itl_p95_seconds)}"
    )


def plan(workflow: Mapping[str, Any]) -> Iterator[str]:
    """The plan of a workflow: evidence, change, formula, expected effect."""
    the_plan = workflow["plan"]
    yield f"{the_plan['title']}  ({the_plan['bottleneck']}, playbook {the_plan['playbook']})"
    for item in the_plan.get("evidence", ()):
        yield f"  {item['text']}" if item["text"].startswith("although ") else f"  because {item['text']}"
    change = the_plan.get("change")
    if change is None:
        yield from (f"  advice: {line}" for line in the_plan.get("advice", ()))
        return
    yield f"  change  {change['flag']}: {change['old']} -> {change['new']}"
    yield f"  from    {change['formula']}"
    for expectation in the_plan.get("expected", ()):
        low, high = sorted((expectation["low"], expectation["high"]))
        yield f"  expect  {metric_name(expectation['metric'])} {low:.2f} to {high:.2f} times as much"
    yield f"  or back {the_plan['rollback']}"


def approval(workflow_id: str, *, url: str, token_file: str, command: str) -> Iterator[str]:
    """How a person approves."""
    yield f"approve with: optiinfra workflows approve {workflow_id}"
    yield "in another terminal, as one line:"
    yield f"  OPTIINFRA_URL={url} OPTIINFRA_TOKEN_FILE={token_file} {command} workflows approve {workflow_id}"


def before_and_after(before: Figures, after: Figures) -> Iterator[str]:
    """What the change has brought."""
    tokens = (before.tokens_per_second, after.tokens_per_second)
    yield (f"throughput  {number(tokens[0])} -> {number(tokens[1])} tok/s{_change(*tokens)}")
    ttft = (before.ttft_p95_seconds, after.ttft_p95_seconds)
    yield f"TTFT p95    {seconds(ttft[0])} -> {seconds(ttft[1])}{_change(*ttft)}"
    itl = (before.itl_p95_seconds, after.itl_p95_seconds)
    yield f"ITL p95     {seconds(itl[0])} -> {seconds(itl[1])}{_change(*itl)}"
    yield f"waiting     {number(before.waiting)} -> {number(after.waiting)} requests"


def _change(old: float | None, new: float | None) -> str:
    return "" if not old or new is None else f"  ({round(100 * (new - old) / old) or 0:+d}%)"
