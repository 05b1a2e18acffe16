"""Effects on a terminal. Text from the API is data: it never becomes markup."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from recommender.terminal import show_table
from recommender.wording import metric_name

_HEADINGS = (
    "AT (UTC)",
    "SERVICE",
    "PLAYBOOK",
    "ENGINE",
    "GPU",
    "CHANGE",
    "METRIC",
    "PREDICTED",
    "MEASURED",
    "ENDED",
    "WORKFLOW",
)
_COLOURS = {"succeeded": "green", "rolled_back": "magenta", "rollback_failed": "bold red"}


def show_effects(console: Console, effects: Sequence[Mapping[str, Any]]) -> None:
    """One line a metric of a change: new over old, predicted and measured."""
    if not effects:
        console.print("No effects: no change of this kind was measured yet.")
        return
    show_table(console, _HEADINGS, map(_row, effects))
    console.print(Text("Ratios are new over old. * had to improve. In brackets: the range, and the 95 % interval."))


def _row(one: Mapping[str, Any]) -> tuple[Text, ...]:
    cells = (
        str(one["at"])[:16].replace("T", " "),
        one["service"],
        one["playbook"],
        one["engine"],
        one["gpu"] or "unknown",
        f"{one['knob']} {_value(one['old'])} → {_value(one['new'])}",
        metric_name(one["metric"]) + (" *" if one["promised"] else ""),
        _predicted(one),
        _measured(one),
    )
    state = str(one["state"])
    return *(Text(str(cell)) for cell in cells), Text(state, _COLOURS.get(state, "")), Text(str(one["workflow_id"]))


def _predicted(one: Mapping[str, Any]) -> str:
    if one["predicted_low"] is None:
        return "nothing"
    mid = "?" if one["predicted_mid"] is None else _value(one["predicted_mid"])
    return f"{mid} ({_value(one['predicted_low'])} to {_value(one['predicted_high'])})"


def _measured(one: Mapping[str, Any]) -> str:
    if one["ratio_low"] is None:
        return _value(one["ratio"])
    return f"{_value(one['ratio'])} ({_value(one['ratio_low'])} to {_value(one['ratio_high'])})"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
