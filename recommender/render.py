"""Workflows on a terminal. Text from the API is data: it never becomes markup."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from recommender.wording import metric_name

_COLOURS = {
    "pending_approval": "yellow",
    "succeeded": "green",
    "rolled_back": "magenta",
    "rollback_failed": "bold red",
    "advised": "cyan",
}


def show_list(console: Console, workflows: Sequence[Mapping[str, Any]]) -> None:
    """One line a workflow."""
    if not workflows:
        console.print("No workflows.")
        return
    table = Table("ID", "SERVICE", "STATE", "PLAN", "CREATED", box=None, pad_edge=False)
    for one in workflows:
        title, created = Text(str(one["plan"]["title"])), Text(_at(one["created_at"]))
        table.add_row(Text(str(one["id"])), Text(str(one["service"])), _state(one), title, created)
    console.print(table)


def show_one(console: Console, workflow: Mapping[str, Any]) -> None:
    """Evidence, change, expected effect, state, verdicts, history."""
    plan = workflow["plan"]
    console.print(Text.assemble((str(workflow["id"]), "bold"), "  ", str(workflow["service"]), "  ", _state(workflow)))
    console.print(Text(str(plan["title"]), "bold"))
    if workflow.get("reason"):
        console.print(Text(str(workflow["reason"])))
    for title, part in (
        ("Evidence", _evidence(plan)),
        ("Change", _change(plan)),
        ("Expected", _expected(plan)),
        ("Advice", _lines(plan.get("advice", ()))),
        ("Alternatives", _lines(f"{one['playbook']} {one['title']}: {one['reason']}" for one in plan["alternatives"])),
        ("Replicas", _replicas(workflow)),
        ("Verdicts", _verdicts(workflow)),
        ("History", _history(workflow)),
    ):
        if part is not None:
            console.print()
            console.print(Text(title, "bold underline"))
            console.print(part)


def _state(workflow: Mapping[str, Any]) -> Text:
    state = str(workflow["state"])
    return Text(state, _COLOURS.get(state, ""))


def _at(instant: object) -> str:
    return str(instant)[:19].replace("T", " ")


def _number(value: object) -> str:
    return "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _lines(texts: Any) -> RenderableType | None:  # noqa: ANN401 - any iterable of text
    lines = [Text(f"- {text}") for text in texts]
    return Group(*lines) if lines else None


def _evidence(plan: Mapping[str, Any]) -> RenderableType | None:
    return _lines(item["text"] for item in plan["evidence"])


def _change(plan: Mapping[str, Any]) -> RenderableType | None:
    change = plan["change"]
    if change is None:
        return None
    lines = [
        Text(f"{change['flag']}  {_number(change['old'])} → {_number(change['new'])}   risk: {change['risk']}", "bold"),
        Text(str(change["reason"])),
        Text(f"Formula: {change['formula']}"),
        Text(f"Replicas, the canary first: {', '.join(plan['instances'])} (executor {plan['executor']})"),
        Text(f"Roll-back: {plan['rollback']}"),
    ]
    return Group(*lines)


def _expected(plan: Mapping[str, Any]) -> RenderableType | None:
    return _lines(
        f"{metric_name(one['metric'])}: {_number(min(one['low'], one['high']))} to "
        f"{_number(max(one['low'], one['high']))} times as much ({one['source']})"
        for one in plan["expected"]
    )


def _replicas(workflow: Mapping[str, Any]) -> RenderableType | None:
    return _lines(
        f"{one['instance']}: {one['phase']}{' - ' + one['error'] if one['error'] else ''}"
        for one in workflow["replicas"]
    )


def _verdicts(workflow: Mapping[str, Any]) -> RenderableType | None:
    return _lines(f"{_at(one['at'])} {one['outcome']}: {one['text']}" for one in workflow["verdicts"])


def _history(workflow: Mapping[str, Any]) -> RenderableType | None:
    return _lines(
        f"{_at(one['at'])} {one['actor']}: {one['kind']}"
        f"{' → ' + one['to_state'] if one['to_state'] else ''}{'. ' + one['reason'] if one['reason'] else ''}"
        for one in workflow.get("events", ())
    )
