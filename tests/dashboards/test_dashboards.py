"""The generated dashboards: that the JSON is current, consistent and asks only for series that exist."""

import importlib.util
import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dashboards import overview
from dashboards.build import BOARDS, GENERATED_DIR, dashboard_files
from dashboards.cli import build
from dashboards.inspection import PanelQuery, panel_queries, substitute
from dashboards.layout import GRID_WIDTH, SCHEMA_VERSION, TAG
from dashboards.panels import DATASOURCE, GREY, MixedUnitsError, time_series
from dashboards.queries import PROMETHEUS_METRICS, RECOMMENDER_METRICS, Query, Scope, grafana_unit, signal
from recommender.model import WorkflowState
from rules.catalog import OBJECTIVES, SIGNALS, SOURCE_COUNTERS, SOURCE_GAUGES, THRESHOLDS, source_windows

MODELS = {name: json.loads(text) for name, text in dashboard_files().items()}
QUERIES = [query for model in MODELS.values() for query in panel_queries(model)]
# Panel types of Grafana 7.4 and later; the state timeline, for one, is too young.
PORTABLE_PANELS = {"row", "timeseries", "stat", "table", "gauge", "bargauge", "text"}
KNOWN_SERIES = (
    set(SIGNALS)
    | set(SOURCE_GAUGES)
    | {f"{stem}:rate{window}" for stem in SOURCE_COUNTERS for window in source_windows(stem)}
    | {objective.series for objective in OBJECTIVES.values()}
    | {f"service:threshold:{name}" for name, threshold in THRESHOLDS.items() if threshold.per_service}
    | RECOMMENDER_METRICS
    | PROMETHEUS_METRICS
)
_NOT_SERIES = {
    *("sum", "min", "max", "count", "avg", "by", "on", "and", "or", "unless", "ignoring", "group_left", "group_right"),
    *(
        "bool",
        "avg_over_time",
        "last_over_time",
        "rate",
        "increase",
        "changes",
        "time",
        "vector",
        "clamp_min",
        "sort_desc",
    ),
}


def _model(name: str) -> dict:
    return MODELS[name]


def _content_panels(model: dict) -> list[dict]:
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def _series_in(expr: str) -> set[str]:
    """Names of series in an expression whose label lists and strings do not look like names."""
    text = re.sub(r'"[^"]*"', '""', expr)
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", text)
    text = re.sub(r"\b(by|on|ignoring|group_left|group_right|without)\s*\([^)]*\)", "", text)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text)) - _NOT_SERIES


@pytest.fixture(params=sorted(MODELS), name="model")
def _each_model(request: pytest.FixtureRequest) -> dict:
    return _model(request.param)


def test_committed_dashboards_are_what_the_code_generates() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in GENERATED_DIR.glob("*.json")}

    assert committed == dashboard_files()


def test_generation_is_byte_stable() -> None:
    assert dashboard_files() == dashboard_files()


def test_every_board_has_its_pinned_uid_and_house_settings(model: dict) -> None:
    assert model["uid"] in BOARDS
    assert model["editable"] is False
    assert model["timezone"] == "utc"
    assert model["tags"] == [TAG]
    assert model["schemaVersion"] == SCHEMA_VERSION
    assert [link["tags"] for link in model["links"]] == [[TAG]]
    assert model["links"][0]["asDropdown"] is True


def test_panel_ids_are_unique_and_panel_types_exist_in_every_supported_grafana(model: dict) -> None:
    ids = [panel["id"] for panel in model["panels"]]

    assert len(ids) == len(set(ids))
    assert {panel["type"] for panel in model["panels"]} <= PORTABLE_PANELS


def test_panel_titles_are_unique_within_a_board(model: dict) -> None:
    titles = Counter(panel["title"] for panel in _content_panels(model))

    assert [title for title, count in titles.items() if count > 1] == []


def test_every_panel_says_what_it_shows_and_asks_the_chosen_datasource(model: dict) -> None:
    for panel in _content_panels(model):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == DATASOURCE
        assert "maxDataPoints" not in panel
        assert {target["datasource"] for target in panel["targets"]} == {DATASOURCE}


def test_targets_have_ref_ids_in_order_and_no_empty_query(model: dict) -> None:
    for panel in _content_panels(model):
        ref_ids = [target["refId"] for target in panel["targets"]]
        assert ref_ids == [chr(ord("A") + number) for number in range(len(ref_ids))]
        assert all(target["expr"].strip() for target in panel["targets"])
        assert {target["intervalFactor"] for target in panel["targets"]} == {1}


def test_every_value_has_a_unit(model: dict) -> None:
    for panel in _content_panels(model):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        if panel["type"] == "table":
            units = [
                override
                for override in panel["fieldConfig"]["overrides"]
                if any(item["id"] == "unit" and item["value"] for item in override["properties"])
            ]
            assert len(units) == len(panel["targets"]), panel["title"]


def test_variables_are_all_used_and_all_defined(model: dict) -> None:
    defined = {variable["name"] for variable in model["templating"]["list"]}
    asked = json.dumps([model["panels"], model["annotations"], [v.get("query") for v in model["templating"]["list"]]])
    used = set(re.findall(r"\$\{?([a-z]\w*)", asked)) | {"datasource"}

    assert used == defined


def test_the_datasource_is_the_first_variable(model: dict) -> None:
    assert model["templating"]["list"][0]["type"] == "datasource"


def test_panels_do_not_overlap_and_stay_on_the_grid(model: dict) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= GRID_WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_series_that_a_panel_or_annotation_asks_for_is_in_a_catalogue(model: dict) -> None:
    exprs = [query.expr for query in panel_queries(model)]
    exprs += [annotation["expr"] for annotation in model["annotations"]["list"]]
    exprs += [
        match for v in model["templating"]["list"] for match in re.findall(r"label_values\((.*), \w+\)", v["query"])
    ]

    assert set().union(*(_series_in(expr) for expr in exprs)) - KNOWN_SERIES == set()


def test_choosing_a_model_hides_nothing_that_has_no_model_label(model: dict) -> None:
    without_model = re.compile(r"(service:objective:\w+|optiinfra_\w+|replica:llm_up|bottleneck:evidence)\{([^}]*)\}")
    selectors = without_model.findall(json.dumps(model).replace('\\"', '"'))

    assert selectors
    assert [(series, labels) for series, labels in selectors if re.search(r"\bmodel=", labels)] == []


def test_workflow_states_are_the_recommenders() -> None:
    waiting, moving = set(overview.PENDING), set(overview.UNDER_WAY)

    assert waiting | moving == {state.value for state in WorkflowState} - {
        *("advised", "succeeded", "rejected", "expired", "cancelled", "superseded", "rolled_back", "rollback_failed")
    }


def test_the_recommenders_own_metrics_are_ones_that_it_exports() -> None:
    modules = [importlib.util.find_spec(name) for name in ("recommender.telemetry", "recommender.ledger.metrics")]
    source = "".join(Path(one.origin).read_text(encoding="utf-8") for one in modules if one and one.origin)

    assert [name for name in sorted(RECOMMENDER_METRICS) if f'"{name}"' not in source] == []


def test_what_is_unknown_is_neither_green_nor_red(model: dict) -> None:
    for panel in _content_panels(model):
        if panel["type"] == "stat":
            unknown, zero, *_ = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert (unknown["color"], unknown["value"]) == (GREY, None)
            assert zero["value"] == 0
            assert panel["fieldConfig"]["defaults"]["noValue"] == "unknown"


def test_links_lead_to_boards_that_exist(model: dict) -> None:
    for uid in re.findall(r"/d/([\w-]+)", json.dumps(model["panels"])):
        assert uid in BOARDS


def test_legend_labels_survive_the_aggregation_of_their_query() -> None:
    for query in QUERIES:
        grouped = re.search(r"^[^{(]*\b(?:sum|min|max|count) by \(([^)]*)\)", query.expr)
        if grouped:
            kept = {label.strip() for label in grouped[1].split(",")}
            assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= kept, query


def test_promtool_accepts_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:query:{number}", "expr": expr}
        for number, expr in enumerate(sorted({query.substituted for query in QUERIES}))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}), encoding="utf-8")

    result = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(rules)} rules found" in result.stdout


def test_substitution_matches_everything_and_leaves_no_variable() -> None:
    assert substitute('x{service=~"$service", node=~"${node}"}') == 'x{service=~".*", node=~".*"}'
    assert not any("$" in query.substituted for query in QUERIES)


def test_queries_that_may_have_no_answer_are_told_from_those_that_always_have_one() -> None:
    sometimes = {query.panel for query in QUERIES if not query.always}
    always = {query.panel for query in QUERIES if query.always}
    need_a_problem = {"Firing alerts", "Bottlenecks", "Bottlenecks of the service", "Workflows by state"}
    need_a_price = {"Cost", "Cost of a million tokens"}
    need_a_change = {"Effects of changes", "Measured changes by how they ended"}
    with_bounds = {"Time to first token", "Inter-token latency", "Request duration p95"}
    with_forecasts = {"Replicas", "Capacity in use", "Capacity in use and forecast"}

    assert sometimes == need_a_problem | need_a_price | need_a_change | with_bounds | with_forecasts
    assert always & sometimes == with_bounds | with_forecasts


def test_a_column_may_be_called_like_a_setting_that_grafana_has_retired() -> None:
    (organized,) = [
        transformation["options"]
        for panel in json.loads(dashboard_files()["optiinfra-overview.json"])["panels"]
        if panel["title"] == "Effects of changes"
        for transformation in panel["transformations"]
        if transformation["id"] == "organize"
    ]
    assert organized["renameByName"]["metric"] == "Metric"
    assert organized["indexByName"]["metric"] == 2


def test_inspection_knows_the_board_and_the_panel_of_every_query() -> None:
    assert {query.dashboard for query in QUERIES} == set(BOARDS)
    assert all(isinstance(query, PanelQuery) and query.panel for query in QUERIES)


def test_units_follow_from_the_catalogue() -> None:
    assert grafana_unit("service:llm_ttft_seconds:p95_5m") == "s"
    assert grafana_unit("service:llm_generation_tokens:rate5m") == "si:tok/s"
    assert grafana_unit("replica:llm_requests:rate1m") == "reqps"
    assert grafana_unit("replica:llm_prefix_cache_hit:ratio_rate5m") == "percentunit"
    assert grafana_unit("replica:llm_kv_cache_memory_fraction") == "percentunit"
    assert grafana_unit("node:host_swap_bytes:rate2m") == "Bps"
    assert grafana_unit("gpu:gpu_power_watts") == "watt"
    assert grafana_unit("replica:llm_preemptions:rate1m") == "suffix:/s"


def test_a_signal_that_no_catalogue_knows_cannot_get_into_a_dashboard() -> None:
    with pytest.raises(KeyError):
        signal("service:llm_made_up:rate5m", Scope())


def test_one_axis_cannot_show_two_units() -> None:
    with pytest.raises(MixedUnitsError, match="mixes the units"):
        time_series("t", "d.", Query("a", "", "s"), Query("b", "", "bytes"))


def test_check_fails_on_a_stale_file_and_names_the_command_that_mends_it(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(build, ["--out", str(tmp_path)]).exit_code == 0
    assert runner.invoke(build, ["--out", str(tmp_path), "--check"]).exit_code == 0
    (tmp_path / "optiinfra-overview.json").write_text("{}", encoding="utf-8")

    stale = runner.invoke(build, ["--out", str(tmp_path), "--check"])

    assert stale.exit_code == 1
    assert "optiinfra-overview.json" in stale.output
    assert "optiinfra build dashboards" in stale.output


def test_provisioning_takes_urls_and_folders_from_the_environment() -> None:
    root = GENERATED_DIR.parent / "provisioning"
    source = yaml.safe_load((root / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))["datasources"][0]
    provider = yaml.safe_load((root / "dashboards" / "optiinfra.yml").read_text(encoding="utf-8"))["providers"][0]

    assert (source["uid"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    assert provider["options"]["path"] == "${OPTIINFRA_DASHBOARDS}"
    assert provider["allowUiUpdates"] is False
