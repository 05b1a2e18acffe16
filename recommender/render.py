"""Workflows on a terminal. Text from the API is data: it never becomes markup."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from recommender.render_plan import lines, plan_parts, show_parts
from recommender.terminal import show_table

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
        console.print("No workflows. What came of each alert: GET /api/v1/alerts.")
        return
    rows = (
        (
            Text(str(one["id"])),
            Text(str(one["service"])),
            _state(one),
            *map(Text, (_title(one), _at(one["created_at"]))),
        )
        for one in workflows
    )
    show_table(console, ("ID", "SERVICE", "STATE", "PLAN", "CREATED (UTC)"), rows)


def show_one(console: Console, workflow: Mapping[str, Any]) -> None:
    """State, the whole plan, verdicts, history."""
    plan = workflow["plan"]
    console.print(Text.assemble((str(workflow["id"]), "bold"), "  ", str(workflow["service"]), "  ", _state(workflow)))
    console.print(Text(_title(workflow), "bold"))
    if workflow.get("reason"):
        console.print(Text(str(workflow["reason"])))
    told = (
        ("Replicas", _replicas(workflow)),
        ("Verdicts", _verdicts(workflow)),
        ("History", _history(workflow)),
    )
    show_parts(console, (*plan_parts(plan), *told))


def _state(workflow: Mapping[str, Any]) -> Text:
    state = str(workflow["state"])
    return Text(state, _COLOURS.get(state, ""))


def _title(workflow: Mapping[str, Any]) -> str:
    return str(workflow["plan"]["title"])


def _at(instant: object) -> str:
    return str(instant)[:19].replace("T", " ")


def _replicas(workflow: Mapping[str, Any]) -> RenderableType | None:
    return lines(
        f"{one['instance']}: {one['phase']}{' - ' + one['error'] if one['error'] else ''}"
        for one in workflow["replicas"]
    )


def _verdicts(workflow: Mapping[str, Any]) -> RenderableType | None:
    return lines(f"{_at(one['at'])} {one['outcome']}: {one['text']}" for one in workflow["verdicts"])


def _history(workflow: Mapping[str, Any]) -> RenderableType | None:
    return lines(
        f"{_at(one['at'])} {one['actor']}: {one['kind']}"
        f"{' → ' + one['to_state'] if one['to_state'] else ''}{'. ' + one['reason'] if one['reason'] else ''}"
        for one in workflow.get("events", ())
    )
