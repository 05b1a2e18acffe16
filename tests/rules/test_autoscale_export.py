"""`optiinfra export keda|hpa`: manifests that Kubernetes takes, that hold when nothing is known, for any name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from recommender.cli import main
from rules.autoscale import DESIRED, EXTERNAL_METRIC, adapter_rule, query
from rules.catalog import SIGNALS

SCHEMAS = json.loads((Path(__file__).parents[1] / "data" / "autoscaling_schemas.json").read_text(encoding="utf-8"))
URL = "http://prometheus.monitoring:9090"
BASE = ("--service", "chat", "--target", "chat-vllm", "--max", "8")
# Names that would end the literal, the selector, the line or the document of whoever does not escape them.
HOSTILE = [
    'chat"}) or vector(100) #',
    'a\\"}) or vector(100) or max(up{job="',
    "chat: {x: [y",
    "'--- # &a *b !!python/object",
    "{{ .Values.x }} $(PATH) `id`",
    "größe 模型 🙂",
]


def export(kind: str, *arguments: str) -> Result:
    url = ("--prometheus-url", URL) if kind == "keda" and "--prometheus-url" not in arguments else ()
    return CliRunner().invoke(main, ["export", kind, *url, *arguments])


def manifest(kind: str, *arguments: str) -> dict[str, Any]:
    done = export(kind, *arguments)
    assert done.exit_code == 0, done.output
    [content] = yaml.safe_load_all(done.output)
    jsonschema.validate(content, {**SCHEMAS, "$ref": f"#/$defs/{kind}"})
    return dict(content)


def bounds(kind: str, content: dict[str, Any]) -> tuple[int, int]:
    spec = content["spec"]
    return (
        (spec["minReplicaCount"], spec["maxReplicaCount"])
        if kind == "keda"
        else (
            spec["minReplicas"],
            spec["maxReplicas"],
        )
    )


@pytest.mark.parametrize("kind", ["keda", "hpa"])
def test_a_manifest_is_valid_and_scales_what_it_is_told_to(kind: str) -> None:
    content = manifest(kind, *BASE, "--namespace", "llm", "--min", "2", "--kind", "StatefulSet")
    assert content["metadata"]["namespace"] == "llm"
    assert content["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "chat-vllm"}
    assert bounds(kind, content) == (2, 8)
    assert "namespace" not in manifest(kind, *BASE)["metadata"]
    assert bounds(kind, manifest(kind, *BASE))[0] == 1, "never to zero by itself"


@pytest.mark.parametrize("kind", ["keda", "hpa"])
def test_the_same_arguments_give_the_same_bytes(kind: str) -> None:
    assert export(kind, *BASE).output == export(kind, *BASE).output


@pytest.mark.parametrize("kind", ["keda", "hpa"])
def test_it_goes_up_at_once_and_down_by_one(kind: str) -> None:
    spec = manifest(kind, *BASE, "--start-seconds", "420")["spec"]
    behavior = spec["behavior"] if kind == "hpa" else spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert {"type": "Percent", "value": 100, "periodSeconds": 420} in behavior["scaleUp"]["policies"]
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 900}]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


def test_keda_reads_the_recorded_count_and_takes_no_answer_for_an_error() -> None:
    spec = manifest("keda", *BASE)["spec"]
    [trigger] = spec["triggers"]
    assert trigger["metadata"] == {
        "serverAddress": URL,
        "query": 'max(service:llm_replicas_desired:count{service="chat"})',
        "threshold": "1",
        "activationThreshold": "0",
        "ignoreNullValues": "false",
    }
    assert trigger["metricType"] == "AverageValue", "a fallback works with no other"
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 8, "behavior": "currentReplicas"}
    assert DESIRED in SIGNALS


def test_an_hpa_asks_for_the_metric_that_the_adapters_rule_gives() -> None:
    [metric] = manifest("hpa", *BASE)["spec"]["metrics"]
    assert metric["external"]["metric"] == {"name": EXTERNAL_METRIC, "selector": {"matchLabels": {"service": "chat"}}}
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    [rule] = adapter_rule()["externalRules"]
    assert rule["name"]["as"] == EXTERNAL_METRIC
    assert rule["resources"] == {"namespaced": False}, "the series has no namespace"


def test_the_comments_of_an_hpa_hold_the_adapters_rule() -> None:
    lines = [line.removeprefix("# ") for line in export("hpa", *BASE).output.splitlines() if line.startswith("#")]
    start = lines.index("externalRules:")
    shown = "\n".join(lines[start : lines.index("#", start)])
    assert yaml.safe_load(shown) == adapter_rule()


def test_the_adapters_query_is_promql_once_it_is_filled_in(promtool: Callable[..., str], tmp_path: Path) -> None:
    [rule] = adapter_rule()["externalRules"]
    filled = rule["metricsQuery"].replace("<<.Series>>", DESIRED).replace("<<.LabelMatchers>>", 'service="chat"')
    rules = [{"record": f"a:b{i}", "expr": expr} for i, expr in enumerate((filled, rule["seriesQuery"]))]
    path = tmp_path / "adapter.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "adapter", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", path)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_service_breaks_out_of_the_query_or_the_document(name: str) -> None:
    done = export("keda", "--service", name, *BASE[2:])
    assert done.exit_code == 0, done.output
    content = manifest("keda", "--service", name, *BASE[2:])
    assert content["spec"]["triggers"][0]["metadata"]["query"] == query(name)
    plain = manifest("keda", *BASE)
    plain["spec"]["triggers"][0]["metadata"]["query"] = query(name)
    assert content == plain, "nothing but the query differs"


def test_a_query_finds_the_service_of_that_very_name(promtool: Callable[..., str], tmp_path: Path) -> None:
    def series(name: str, value: int) -> dict[str, str]:
        return {"series": f"{DESIRED}{{service={json.dumps(name, ensure_ascii=False)}}}", "values": f"{value}"}

    test = {
        "interval": "1m",
        "input_series": [series(name, number) for number, name in enumerate([*HOSTILE, "chat"], start=1)],
        "promql_expr_test": [
            {"expr": query(name), "eval_time": "0m", "exp_samples": [{"labels": "{}", "value": number}]}
            for number, name in enumerate([*HOSTILE, "chat"], start=1)
        ],
    }
    path = tmp_path / "names.test.yml"
    path.write_text(json.dumps({"rule_files": [], "tests": [test]}, ensure_ascii=False), encoding="utf-8")
    promtool("test", "rules", path)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("keda", ("--service", "a\nb", *BASE[2:]), "a name of printable characters"),
        ("keda", ("--service", "", *BASE[2:]), "a name of printable characters"),
        ("hpa", ("--service", "chat room", *BASE[2:]), "cannot be asked for by an HPA"),
        ("hpa", ("--service", "x" * 64, *BASE[2:]), "cannot be asked for by an HPA"),
        ("keda", (*BASE[:2], "--target", "Chat_1", "--max", "8"), "'Chat_1' is no name here"),
        ("keda", (*BASE[:2], "--target", "a" * 64, "--max", "8"), "at most 63"),
        ("hpa", (*BASE[:2], "--target", "-a", "--max", "8"), "is no name here"),
        ("hpa", (*BASE, "--namespace", "a.b"), "'a.b' is no DNS label"),
        ("keda", (*BASE, "--min", "9"), "--max 8 is less than --min 9"),
        ("keda", (*BASE, "--min", "0"), "0 is not in the range x>=1"),
        ("hpa", (*BASE, "--start-seconds", "1801"), "15<=x<=1800"),
        ("keda", (*BASE, "--prometheus-url", "prometheus:9090"), "write an http or https URL"),
        ("keda", (*BASE, "--prometheus-url", "http://u:p@prometheus:9090"), "credentials belong in"),
        ("keda", (*BASE, "--prometheus-url", "http://prometheus:99999"), "write an http or https URL"),
        ("keda", (*BASE, "--prometheus-url", "http://a\n#b"), "write an http or https URL"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(kind: str, arguments: tuple[str, ...], message: str) -> None:
    done = export(kind, *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())
