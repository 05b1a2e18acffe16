"""Panel helpers: grafanalib as a serialiser, with every default that bites fixed in one place.

All panel types here exist in Grafana 7.4 and later. Fixed: `refId` in order, `intervalFactor` 1, `maxDataPoints` left
to Grafana, the datasource variable, the unit of the queries, a description always.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafanalib import core

from dashboards.queries import Query

DATASOURCE = "${datasource}"

GREY = "#8e8e8e"  # shows on the dark and on the light theme
GREEN, AMBER, RED, NEUTRAL = "green", "orange", "red", "blue"


@dataclass(frozen=True, slots=True)
class Step:
    """From `value` on a panel shows `colour`."""

    value: float
    colour: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a query's value, its heading, unit and colours: `base` below the first of the steps.

    Whole numbers are shown as `texts` where given.
    """

    heading: str
    query: Query
    steps: tuple[Step, ...] = ()
    decimals: int | None = None
    width: int | None = None
    base: str = GREEN
    texts: Mapping[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A label that tells a table's rows apart: its heading, width in pixels and the URL its cells link to."""

    label: str
    heading: str
    width: int | None = None
    link: str | None = None


class MixedUnitsError(ValueError):
    """One axis cannot show two units."""


def _targets(queries: Sequence[Query], *, instant: bool = False, table: bool = False) -> list[core.Target]:
    return [
        core.Target(
            expr=query.expr,
            legendFormat=query.legend,
            refId=ref_id,
            intervalFactor=1,
            instant=instant,
            format="table" if table else "time_series",
            datasource=DATASOURCE,
        )
        for ref_id, query in zip(string.ascii_uppercase, queries, strict=False)
    ]


def _unit(title: str, queries: Sequence[Query]) -> str:
    units = {query.unit for query in queries}
    if len(units) != 1:
        message = f"panel {title!r} mixes the units {sorted(units)}: split it or convert in the query"
        raise MixedUnitsError(message)
    return units.pop()


def _steps(steps: Sequence[Step], base: str = GREEN) -> list[Mapping[str, Any]]:
    # Grafana wants the first step open below: value null.
    return [{"color": base, "value": None}, *({"color": step.colour, "value": step.value} for step in steps)]


def _mappings(texts: Mapping[int, str]) -> list[Mapping[str, Any]]:
    # The mapping format of Grafana 7; later versions convert it when they load schema 27.
    return [
        {"id": number, "type": 1, "value": str(value), "text": text}
        for number, (value, text) in enumerate(texts.items(), start=1)
    ]


def time_series(
    title: str,
    description: str,
    *queries: Query,
    limit: float | None = None,
    counts: bool = False,
    filled: bool = True,
    legend_right: bool = False,
    dashed: str | None = None,
) -> core.TimeSeries:
    """Lines over time with a table legend of last, mean and max.

    `limit` is the least top of the axis (a ratio's 1). `counts` is for numbers that jump, such as how many there are.
    Not `filled` are lines that would lie in each other's shade.
    `dashed` is a regular expression of series names drawn as dashed grey lines, such as objectives.
    """
    overrides = [_dashed(dashed)] if dashed else []
    return core.TimeSeries(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets(queries),
        maxDataPoints=None,
        editable=False,
        unit=_unit(title, queries),
        legendDisplayMode="table",
        legendPlacement="right" if legend_right else "bottom",
        legendCalcs=["lastNotNull", "mean", "max"],
        tooltipMode="multi",
        tooltipSort="desc",
        lineWidth=2,
        fillOpacity=(25 if counts else 5) if filled else 0,
        lineInterpolation="stepAfter" if counts else "linear",
        showPoints="never",
        stacking={"mode": "none", "group": "A"},
        valueMin=0,
        axisSoftMax=limit,
        thresholds=_steps(()),
        overrides=overrides,
        extraJson={"options": {"legend": {"showLegend": True}}},
    )


def _dashed(pattern: str) -> Mapping[str, Any]:
    properties = {
        "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
        "color": {"mode": "fixed", "fixedColor": GREY},
        "custom.fillOpacity": 0,
        "custom.lineWidth": 1,
    }
    return _override({"id": "byRegexp", "options": pattern}, properties)


def _override(matcher: Mapping[str, Any], properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"matcher": matcher, "properties": [{"id": name, "value": value} for name, value in properties.items()]}


def stat(
    title: str,
    description: str,
    *queries: Query,
    steps: Sequence[Step] = (),
    base: str = GREEN,
    decimals: int | None = None,
    sparkline: bool = False,
    texts: Mapping[int, str] | None = None,
) -> core.Stat:
    """One tile per series: the last value, whole numbers as `texts` where given.

    It has the colour `base` from 0 on and those of `steps` above. What is unknown says so in grey: it is never good.
    """
    return core.Stat(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets(queries),
        maxDataPoints=None,
        editable=False,
        format=_unit(title, queries),
        decimals=decimals,
        mappings=_mappings(texts or {}),
        noValue="unknown",
        reduceCalc="lastNotNull" if sparkline else "last",
        colorMode="value",
        graphMode="area" if sparkline else "none",
        textMode="value_and_name" if "{{" in queries[0].legend else "value",
        alignment="auto",
        color={"mode": "thresholds"},
        thresholds=_steps((Step(0, base), *steps), GREY),
    )


def table(title: str, description: str, keys: Sequence[Key], columns: Sequence[Column]) -> core.Table:
    """The values of `columns` now, one row per combination of the labels in `keys`; what is unknown is empty."""
    values = _value_names(len(columns))
    headings = {key.label: key.heading for key in keys}
    headings |= {value: column.heading for value, column in zip(values, columns, strict=True)}
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": {name: position for position, name in enumerate(headings)},
        "renameByName": headings,
    }
    return core.Table(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets([column.query for column in columns], instant=True, table=True),
        maxDataPoints=None,
        editable=False,
        span=None,
        unit="short",
        overrides=[*map(_key_override, keys), *map(_column_override, columns)],
        thresholds=_steps((), NEUTRAL),
        transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": organize}],
    )


def _value_names(count: int) -> list[str]:
    """What Grafana calls the value columns of `count` table queries after `merge`."""
    return ["Value"] if count == 1 else [f"Value #{letter}" for letter in string.ascii_uppercase[:count]]


def _key_override(key: Key) -> Mapping[str, Any]:
    properties: dict[str, Any] = {}
    if key.width is not None:
        properties["custom.width"] = key.width
    if key.link is not None:
        properties["links"] = [{"title": "Show details", "url": key.link, "targetBlank": False}]
    return _override({"id": "byName", "options": key.heading}, properties)


def _column_override(column: Column) -> Mapping[str, Any]:
    properties: dict[str, Any] = {"unit": column.query.unit}
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.width is not None:
        properties["custom.width"] = column.width
    if column.texts is not None:
        properties["mappings"] = _mappings(column.texts)
    if column.steps:
        properties["thresholds"] = {"mode": "absolute", "steps": _steps(column.steps, column.base)}
        # Grafana 7 and 8 read displayMode, later ones cellOptions; each ignores the other.
        properties["custom.displayMode"] = "color-text"
        properties["custom.cellOptions"] = {"type": "color-text"}
    return _override({"id": "byName", "options": column.heading}, properties)
