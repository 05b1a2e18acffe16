"""Dashboards from rows of panels: grid places, panel ids, variables, links and everything that all boards share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import attr
from grafanalib import core

from dashboards.panels import DATASOURCE, time_series
from dashboards.queries import Query

GRID_WIDTH = 24
TAG = "optiinfra"
# Grafana 7.5's. Later versions bring a dashboard up to date when they load it; none can go back.
SCHEMA_VERSION = 27


@dataclass(frozen=True, slots=True)
class Cell:
    """A panel and its size in grid units (the grid is 24 wide)."""

    panel: core.Panel
    width: int
    height: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A titled row of cells; cells flow left to right and wrap."""

    title: str
    cells: tuple[Cell, ...]


def graph(
    title: str, description: str, *queries: Query, width: int = 8, height: int = 9, limit: float | None = None
) -> Cell:
    """Lines over time; series whose legend ends in "objective" or "limit" are dashed."""
    panel = time_series(title, description, *queries, limit=limit, dashed=".*(objective|limit)$")
    return Cell(panel, width, height)


def place(rows: Sequence[Row]) -> list[core.Panel]:
    """Give every row and panel its place and an id, counted from 1 in reading order."""
    panels: list[core.Panel] = []
    top = 0
    for row in rows:
        panels.append(_at(core.RowPanel(title=row.title, editable=False, maxDataPoints=None), 0, top, GRID_WIDTH, 1))
        top = _place_cells(row.cells, top + 1, panels)
    return [attr.evolve(panel, id=number) for number, panel in enumerate(panels, start=1)]


def _place_cells(cells: Sequence[Cell], top: int, panels: list[core.Panel]) -> int:
    """Append the placed cells to `panels`; return the first free line below them."""
    left = line_height = 0
    for cell in cells:
        if left + cell.width > GRID_WIDTH:
            top, left, line_height = top + line_height, 0, 0
        panels.append(_at(cell.panel, left, top, cell.width, cell.height))
        left, line_height = left + cell.width, max(line_height, cell.height)
    return top + line_height


def _at(panel: core.Panel, left: int, top: int, width: int, height: int) -> core.Panel:
    return attr.evolve(panel, gridPos=core.GridPos(h=height, w=width, x=left, y=top))


def datasource_variable() -> core.Template:
    """Which Prometheus to ask; the first variable, since the others ask it."""
    return core.Template(name="datasource", label="Data source", query="prometheus", type="datasource")


def label_variable(name: str, label: str, series: str) -> core.Template:
    """Values of the label `name` on `series` (a PromQL selector); all of them unless narrowed."""
    return core.Template(
        name=name,
        label=label,
        query=f"label_values({series}, {name})",
        dataSource=DATASOURCE,
        includeAll=True,
        multi=True,
        # Also matches series without the label, which a list of all values would not.
        allValue=".*",
        default="All",
        refresh=core.REFRESH_ON_TIME_RANGE_CHANGE,
        sort=core.SORT_ALPHA_ASC,
    )


def annotation(name: str, expr: str, title: str, text: str, colour: str) -> dict[str, Any]:
    """Marks on every graph where `expr` has a value; `title` and `text` use `{{label}}` templates."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "expr": expr,
        "step": "15s",
        "titleFormat": title,
        "textFormat": text,
        "iconColor": colour,
        "type": "tags",
    }


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Sequence[core.Template],
    rows: Sequence[Row],
    annotations: Sequence[dict[str, Any]] = (),
) -> core.Dashboard:
    """A board with the house's settings: stable uid, read-only, UTC, tagged, linked with its siblings."""
    return core.Dashboard(
        uid=uid,
        title=title,
        description=description,
        tags=[TAG],
        timezone="utc",
        editable=False,
        schemaVersion=SCHEMA_VERSION,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        refresh="15s",
        time=core.Time("now-30m", "now"),
        timePicker=core.TimePicker(refreshIntervals=["5s", "15s", "1m", "5m", "15m"], timeOptions=[]),
        templating=core.Templating(list=list(variables)),
        annotations=core.Annotations(list=list(annotations)),
        links=[
            core.DashboardLink(
                title="OptiInfra", type="dashboards", tags=[TAG], asDropdown=True, keepTime=True, includeVars=True
            )
        ],
        panels=place(rows),
    )
