"""`optiinfra export operator|prometheus`: the rules of this repository in the form that a site's Prometheus takes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from recommender.cli import main
from rules.export_operator import object_name
from rules.pack import RULES_DIR, rule_paths

SCHEMA = json.loads((Path(__file__).parents[1] / "data" / "prometheusrule_schema.json").read_text(encoding="utf-8"))
THRESHOLDS = RULES_DIR / "thresholds.yml"
# Of one object in the API server; the operator puts them into ConfigMaps of 1 MiB too.
LARGEST_BYTES = 1024 * 1024


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def objects(*arguments: str | Path) -> list[dict[str, Any]]:
    done = export("operator", *arguments)
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.output))


def test_every_rule_file_is_one_object_with_the_same_groups() -> None:
    found = {each["metadata"]["name"]: each["spec"]["groups"] for each in objects()}
    files = {path.relative_to(RULES_DIR).as_posix(): path.read_text(encoding="utf-8") for path in rule_paths()}
    assert found == {object_name(name, "optiinfra"): yaml.safe_load(text)["groups"] for name, text in files.items()}
    assert "optiinfra-thresholds" in found
    assert "optiinfra-sources-tensorrt-llm" in found


def test_every_object_is_valid_for_the_operator() -> None:
    for each in objects("--namespace", "monitoring", "--label", "release=kube-prometheus-stack"):
        jsonschema.validate(each, SCHEMA)
        names = [group["name"] for group in each["spec"]["groups"]]
        assert len(names) == len(set(names)), "groups are a map by their name"
        for group in each["spec"]["groups"]:
            assert all(("alert" in rule) != ("record" in rule) for rule in group["rules"])
        assert len(yaml.safe_dump(each).encode()) < LARGEST_BYTES


def test_the_rules_of_every_object_are_valid_for_prometheus(promtool: Callable[..., str], tmp_path: Path) -> None:
    paths = []
    for each in objects():
        paths.append(tmp_path / f"{each['metadata']['name']}.yml")
        paths[-1].write_text(yaml.safe_dump(each["spec"]), encoding="utf-8")
    assert promtool("check", "rules", *paths).count("SUCCESS") == len(paths)


def test_names_namespace_and_labels_are_the_sites() -> None:
    for each in objects("--namespace", "llm", "--prefix", "team-a", "--label", "release=p", "--label", "x.io/y=z"):
        assert each["metadata"]["namespace"] == "llm"
        assert each["metadata"]["name"].startswith("team-a-")
        assert each["metadata"]["labels"] == {"app.kubernetes.io/part-of": "optiinfra", "release": "p", "x.io/y": "z"}
    assert all("namespace" not in each["metadata"] for each in objects())


def test_files_are_written_one_for_each_object(tmp_path: Path) -> None:
    done = export("operator", "--out", tmp_path / "manifests")
    assert done.exit_code == 0
    written = {path.stem: yaml.safe_load(path.read_text()) for path in (tmp_path / "manifests").glob("*.yaml")}
    assert list(written.values()) != []
    assert {each["metadata"]["name"]: each for each in objects()} == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "release"], "'release' is no Kubernetes label; write NAME=VALUE"),
        (["--label", "release=not so"], "is no Kubernetes label"),
        (["--namespace", "Not_A_Name"], "'Not_A_Name' is no DNS label"),
        (["--prefix", "x" * 60], "choose a shorter --prefix"),
    ],
)
def test_names_that_kubernetes_would_refuse_are_refused(arguments: list[str], message: str) -> None:
    done = export("operator", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


@pytest.mark.parametrize("kind", ["operator", "prometheus"])
def test_a_sites_own_thresholds_take_the_place_of_ours(kind: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    text = THRESHOLDS.read_text(encoding="utf-8")
    own.write_text(text.replace("expr: vector(0.95)", "expr: vector(0.97)"), encoding="utf-8")
    assert own.read_text() != text
    assert export(kind, "--out", tmp_path / "out", "--thresholds", own).exit_code == 0
    name = {"operator": "optiinfra-thresholds.yaml", "prometheus": "thresholds.yml"}[kind]
    exported = yaml.safe_load((tmp_path / "out" / name).read_text(encoding="utf-8"))
    assert exported.get("spec", exported)["groups"] == yaml.safe_load(own.read_text())["groups"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("groups: []", "lacks threshold:"),
        ("groups: [{name: a, rules: [{record: 'threshold:typo', expr: vector(1)}]}]", "lacks threshold:"),
        ("just words", "is no file of recording rules"),
        ("{", "is no file of recording rules"),
    ],
)
def test_thresholds_that_would_silence_rules_are_refused(text: str, message: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(text, encoding="utf-8")
    done = export("prometheus", "--out", tmp_path / "out", "--thresholds", own)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


def test_a_mistyped_threshold_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    extra = "      - record: threshold:mistyped\n        expr: vector(1)\n"
    own.write_text(THRESHOLDS.read_text(encoding="utf-8") + extra, encoding="utf-8")
    done = export("operator", "--thresholds", own)
    assert "records threshold:mistyped, which no rule reads" in " ".join(done.output.split())


def with_rule(own: Path, record: str, **labels: str) -> Path:
    """The shipped file and one rule more."""
    content = yaml.safe_load(THRESHOLDS.read_text(encoding="utf-8"))
    content["groups"][0]["rules"].append({"record": record, "labels": labels, "expr": "vector(0.8)"})
    own.write_text(yaml.safe_dump(content), encoding="utf-8")
    return own


def test_a_service_may_have_a_figure_of_its_own(tmp_path: Path) -> None:
    own = with_rule(tmp_path / "own.yml", "threshold:kv_cache_usage_high_ratio", service="chat")
    assert export("prometheus", "--out", tmp_path / "out", "--thresholds", own).exit_code == 0
    exported = yaml.safe_load((tmp_path / "out" / "thresholds.yml").read_text(encoding="utf-8"))
    assert exported["groups"][0]["rules"][-1]["labels"] == {"service": "chat"}


@pytest.mark.parametrize(
    ("record", "labels", "message"),
    [
        ("threshold:gpu_memory_used_high_ratio", {"service": "chat"}, "nodes and GPUs know no service"),
        ("threshold:slo_reachable_error_ratio", {"service": "chat"}, "there is one for all"),
        ("threshold:objective_error_ratio", {"service": "chat"}, "objectives of a service are in the inventory"),
        ("threshold:kv_cache_usage_high_ratio", {"team": "a"}, "the label team: a figure is everybody's, or"),
        ("threshold:kv_cache_usage_high_ratio", {"service": "chat", "node": "n"}, "the label node"),
        ("threshold:kv_cache_usage_high_ratio", {"service": ""}, "an empty label service"),
        ("threshold:kv_cache_usage_high_ratio", {}, "threshold:kv_cache_usage_high_ratio 2 times"),
        ("threshold:kv_cache_usage_hihg_ratio", {"service": "chat"}, "mean threshold:kv_cache_usage_high_ratio?"),
    ],
)
def test_a_figure_that_no_rule_would_read_is_refused(
    record: str, labels: dict[str, str], message: str, tmp_path: Path
) -> None:
    done = export(
        "prometheus", "--out", tmp_path / "out", "--thresholds", with_rule(tmp_path / "o.yml", record, **labels)
    )
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


def test_the_folder_for_prometheus_is_read_with_the_lines_of_its_readme(
    promtool: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "optiinfra-rules"
    assert export("prometheus", "--out", out).exit_code == 0
    readme = (out / "README").read_text(encoding="utf-8")
    lines = readme[readme.index("rule_files:") :].split("\n\n")[0]
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(lines + "\n", encoding="utf-8")
    told = promtool("check", "config", configuration)
    assert f"{len(rule_paths())} rule files found" in told
    for path in rule_paths():
        assert (out / path.relative_to(RULES_DIR)).read_bytes() == path.read_bytes()
