"""The JSON of Grafana's dashboards: panels, variables, links, and how panels are laid out.

Knows Grafana's classic dashboard schema, which Grafana 11.6 to 13 read; refuses to know what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from tools.dashboards.queries import in_both_namings

Json: TypeAlias = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA_VERSION = 41  # of Grafana 11.6 and 12; newer ones bring it up to date when they load it
_COLUMNS = 24
_LABEL_VALUES = 1  # how the editor of variables shows the query


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Args:
        expr: PromQL with the variables of the dashboard, with the released names of the conventions.
        legend: name of the series, with labels in double braces.
        exemplar: whether Grafana shows the traces behind it.
        shape: a line over time, one value for the whole time, one row per series, or buckets.
    """

    expr: str
    legend: str = ""
    exemplar: bool = False
    shape: Literal["line", "value", "table", "heatmap"] = "line"

    def as_json(self, ref_id: str) -> Json:
        """Return the target of a panel."""
        is_instant = self.shape in {"value", "table"}
        formats = {"table": "table", "heatmap": "heatmap"}
        return {
            "refId": ref_id,
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": in_both_namings(self.expr),
            "legendFormat": self.legend or "__auto",
            "format": formats.get(self.shape, "time_series"),
            "range": not is_instant,
            "instant": is_instant,
            "exemplar": self.exemplar,
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        title: what it shows.
        about: the question that it answers, and what to know when reading it.
        queries: what is asked.
        unit: Grafana's name of the unit.
        kind: the plug-in that draws it.
        width: of 24 columns.
        height: in rows of the grid.
        defaults: more of the field configuration.
        overrides: field configuration of single fields.
        options: of the plug-in.
        transformations: what is done with the answer before it is drawn.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table", "heatmap"] = "timeseries"
    width: int = 8
    height: int = 8
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    overrides: tuple[Json, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    transformations: tuple[Json, ...] = ()

    def as_json(self, number: int, x: int, y: int) -> Json:
        """Return the panel at its place."""
        panel: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [query.as_json(chr(ord("A") + index)) for index, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": {"unit": self.unit, **self.defaults}, "overrides": [*self.overrides]},
            "options": dict(self.options),
        }
        if self.transformations:
            panel["transformations"] = [*self.transformations]
        return panel


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels under it."""

    title: str
    panels: tuple[Panel, ...]


def graph(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    stacked: bool = False,
    width: int = 8,
    leads_to: tuple[Json, ...] = (),
) -> Panel:
    """Return lines over time; stacked ones are bars, for counts."""
    look: Json = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "auto", "spanNulls": False}
    if stacked:
        look |= {"drawStyle": "bars", "fillOpacity": 70, "stacking": {"mode": "normal", "group": "A"}}
    defaults: Json = {"min": 0, "custom": look}
    if leads_to:
        defaults["links"] = [*leads_to]
    if unit == "percentunit":
        defaults["max"] = 1
    legend: Json = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    return Panel(
        title,
        about,
        queries,
        unit,
        width=width,
        defaults=defaults,
        options={"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
    )


def number(
    title: str,
    about: str,
    query: Query,
    *,
    unit: str = "short",
    red_from: float | None = None,
    decimals: int | None = None,
) -> Panel:
    """Return one big number, red from a value on."""
    steps: list[Json] = [{"color": "green", "value": None}]
    if red_from is not None:
        steps.append({"color": "red", "value": red_from})
    return Panel(
        title,
        about,
        (query,),
        unit,
        "stat",
        width=4,
        height=4,
        defaults={
            "thresholds": {"mode": "absolute", "steps": steps},
            "noValue": "-",
            "min": 0,
            **({} if decimals is None else {"decimals": decimals}),
        },
        options={
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "auto",
            "wideLayout": True,
        },
    )


def heatmap(title: str, about: str, query: Query, *, unit: str = "s", width: int = 12) -> Panel:
    """Return how a histogram's values spread over time."""
    query = replace(query, legend="{{le}}", shape="heatmap")
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    look = {"hideFrom": {"legend": False, "tooltip": False, "viz": False}, "scaleDistribution": {"type": "linear"}}
    return Panel(title, about, (query,), unit, "heatmap", width=width, defaults={"custom": look}, options=options)


def variable(name: str, label: str, query: str, *, is_many: bool, has_all: bool = True) -> Json:
    """Return a variable with the values of a label; "All" also takes series without the label."""
    result: Json = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "qryType": _LABEL_VALUES, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": is_many,
        "includeAll": has_all,
        "options": [],
    }
    if has_all:
        result |= {"allValue": ".*", "current": {"selected": True, "text": "All", "value": "$__all"}}
    return result


def datasource_variable() -> Json:
    """Return the variable that chooses the Prometheus."""
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "options": [],
    }


def data_link(title: str, url: str) -> Json:
    """Return a link of a value, whose URL has the labels of the value."""
    return {"title": title, "url": url, "targetBlank": False}


def link(title: str, *, url: str = "", tag: str = "") -> Json:
    """Return a link at the top of a dashboard: to a URL, or to every dashboard with a tag."""
    return {
        "title": title,
        "type": "link" if url else "dashboards",
        "url": url,
        "tags": [tag] if tag else [],
        "icon": "external link",
        "tooltip": "",
        "asDropdown": False,
        "targetBlank": bool(url),
        "includeVars": not url,
        "keepTime": not url,
    }


def dashboard(
    uid: str, title: str, about: str, *, rows: Iterable[Row], variables: Sequence[Json], links: Sequence[Json]
) -> Json:
    """Return a dashboard as Grafana imports and provisions it."""
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["streamspan"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [*variables]},
        "annotations": {"list": []},
        "links": [*links],
        "panels": _laid_out(rows),
    }


def _laid_out(rows: Iterable[Row]) -> list[Json]:
    """Put panels beside each other while there is room, numbered, each row under its heading."""
    panels: list[Json] = []
    y = 0
    for row in rows:
        panels.append(_heading(row.title, len(panels) + 1, y))
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, height = 0, y + height, 0
            panels.append(panel.as_json(len(panels) + 1, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return panels


def _heading(title: str, number: int, y: int) -> Json:
    place = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
