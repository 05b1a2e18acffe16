"""A plan on a terminal: what is changed, why it fits, what it costs and gives, how it is judged, what else there was.

Text from the API is data: it never becomes markup.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from recommender.wording import judged_by, metric_name


def plan_parts(plan: Mapping[str, Any]) -> tuple[tuple[str, RenderableType | None], ...]:
    """(title, part) in reading order; a part that the plan does not have is None. Plans of before may lack keys."""
    return (
        ("Evidence", lines(item["text"] for item in plan["evidence"])),
        ("Change", _change(plan)),
        ("Expected", _expected(plan)),
        ("Advice", lines(plan.get("advice", ()))),
        ("Asked for", lines(f"{one['fact']}, {one['needed_for']}: {one['how']}" for one in plan.get("asks", ()))),
        ("Worked when", _queries(plan.get("verification_queries", ()))),
        ("Taken back when", _queries(plan.get("rollback_queries", ()))),
        ("As a patch", _patches(plan.get("patches", ()))),
        ("Alternatives", lines(f"{one['playbook']} {one['title']}: {one['reason']}" for one in plan["alternatives"])),
    )


def show_parts(console: Console, parts: Iterable[tuple[str, RenderableType | None]]) -> None:
    """Each part that there is under its title."""
    for title, part in parts:
        if part is not None:
            console.print()
            console.print(Text(title, "bold underline"))
            console.print(part)


def lines(texts: Iterable[object]) -> RenderableType | None:
    """One line each; None when there is none."""
    found = [Text(f"- {text}") for text in texts]
    return Group(*found) if found else None


def _change(plan: Mapping[str, Any]) -> RenderableType | None:
    change = plan["change"]
    if change is None:
        return None
    found = [
        Text(f"{change['flag']}  {number(change['old'])} → {number(change['new'])}   risk: {change['risk']}", "bold"),
        *([Text(f"Advice only: {plan['withheld']}", "yellow")] if plan.get("withheld") else ()),
        Text(str(change["reason"])),
        Text(f"Formula: {change['formula']}"),
        Text(f"Replicas, the canary first: {', '.join(plan['instances'])} (executor {plan['executor']})"),
        Text(f"Roll-back: {plan['rollback']}"),
    ]
    if judged := plan.get("verification"):
        goal, guards = judged["must_improve"], judged["guards"]
        found.append(
            Text(f"Judged by: {judged_by(goal['metric'], goal['direction'], (one['metric'] for one in guards))}")
        )
    if proof := change.get("feasibility"):
        found.append(Text(f"Fits: {proof['text']}"))
    if cost := plan.get("restart"):
        known = "" if cost["seconds"] is None else f" About {number(float(cost['seconds']))} s a replica."
        found.append(Text(f"Cost: {cost['text']}{known}"))
    if gate := plan.get("quality_gate"):
        found.append(Text(f"Quality gate: {gate['text']}", "yellow"))
    return Group(*found)


def _expected(plan: Mapping[str, Any]) -> RenderableType | None:
    return lines(
        f"{metric_name(one['metric'])}: {number(min(one['low'], one['high']))} to "
        f"{number(max(one['low'], one['high']))} times as much{_likely(one)} ({one['source']})"
        for one in plan["expected"]
    )


def _likely(expectation: Mapping[str, Any]) -> str:
    mid = expectation.get("mid")
    return "" if mid is None else f", likely {number(mid)}"


def _queries(queries: Iterable[Mapping[str, Any]]) -> RenderableType | None:
    return lines(f"{one['text']}: {one['query']}" for one in queries)


def _patches(patches: Iterable[Mapping[str, Any]]) -> RenderableType | None:
    found = [Text.assemble((f"{one['title']}\n", "italic"), str(one["content"]).rstrip("\n")) for one in patches]
    return Group(*found) if found else None


def number(value: object) -> str:
    """Four digits; None is unknown."""
    return "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
