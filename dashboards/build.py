"""Dashboards as JSON: the registry of boards and a writer whose bytes depend on nothing but the code."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grafanalib import core
from grafanalib._gen import DashboardEncoder

from dashboards import inference, overview

GENERATED_DIR = Path(__file__).parent / "generated"

BOARDS: Mapping[str, Callable[[], core.Dashboard]] = {
    overview.UID: overview.build,
    inference.UID: inference.build,
}

# What grafanalib writes for Grafana's retired Angular panels, or Grafana fills in itself.
_RETIRED = frozenset(
    {"__inputs", "columns", "error", "fontSize", "height", "hideControls", "metric", "minSpan", "query", "rows"}
    | {"sharedCrosshair", "span", "step", "style", "target", "useTags", "tagsQuery", "tagValuesQuery", "cacheTimeout"}
)
# Their keys are names of columns, and a label may be called like a retired setting.
_BY_NAME = frozenset({"excludeByName", "indexByName", "renameByName"})
_RETIRED_IN_VARIABLES = frozenset({"useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count"})


def dashboard_files() -> dict[str, str]:
    """Every generated file: name -> text."""
    return {f"{uid}.json": render(board()) for uid, board in BOARDS.items()}


def render(board: core.Dashboard) -> str:
    """Return the board as JSON with sorted keys and nothing that says nothing."""
    model = json.loads(json.dumps(board, cls=DashboardEncoder))
    model["templating"] = {"list": [_variable(variable) for variable in model["templating"]["list"]]}
    model["panels"] = [_pruned(panel) for panel in model["panels"]]
    kept = {key: value for key, value in model.items() if value is not None and key not in _RETIRED}
    return json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _variable(variable: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in variable.items() if value is not None and key not in _RETIRED_IN_VARIABLES}


def _pruned(node: Any) -> Any:  # noqa: ANN401 - any JSON value, and the same kind comes back
    """Drop retired keys and nulls, except a threshold's first value, where null means "from below"."""
    if isinstance(node, list):
        return [_pruned(item) for item in node]
    if not isinstance(node, dict):
        return node
    is_step = node.keys() == {"color", "value"}
    return {
        key: value if key in _BY_NAME else _pruned(value)
        for key, value in node.items()
        if key not in _RETIRED and (value is not None or is_step)
    }
