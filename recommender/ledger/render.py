"""Effects on a terminal. Text from the API is data: it never becomes markup."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recommender.wording import metric_name

_COLOURS = {"succeeded": "green", "rolled_back": "magenta", "rollback_failed": "bold red"}


def show_effects(console: Console, effects: Sequence[Mapping[str, Any]]) -> None:
    """One line a metric of a change: new over old, predicted and measured."""
    if not effects:
        console.print("No effects: no change of this kind was measured yet.")
        return
    headings = ("AT", "PLAYBOOK", "ENGINE", "GPU", "CHANGE", "METRIC", "PREDICTED", "MEASURED", "ENDED", "WORKFLOW")
    table = Table(*headings, box=None, pad_edge=False)
    for one in effects:
        cells = (
            str(one["at"])[:16].replace("T", " "),
            one["playbook"],
            one["engine"],
            one["gpu"] or "unknown",
            f"{one['knob']} {_value(one['old'])} → {_value(one['new'])}",
            metric_name(one["metric"]) + (" *" if one["promised"] else ""),
            _predicted(one),
            _measured(one),
        )
        ended = Text(str(one["state"]), _COLOURS.get(str(one["state"]), ""))
        table.add_row(*(Text(str(cell)) for cell in cells), ended, Text(str(one["workflow_id"])))
    console.print(table)
    console.print(Text("Ratios are new over old. * had to improve. In brackets: the range, and the 95 % interval."))


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
