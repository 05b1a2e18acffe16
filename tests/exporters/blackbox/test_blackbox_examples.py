"""What docs/blackbox.md shows works: the module file, the scrape job, the rules."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from exporters.blackbox.config import BudgetLimits, Module, parse_config
from exporters.catalog import BLACKBOX_FAMILIES, BLACKBOX_PROBER_FAMILIES, BlackboxFailure, BlackboxPhase

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLES = DOCS / "examples"
PAGE = (DOCS / "blackbox.md").read_text()


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, cwd=EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_job() -> None:
    promtool("check", "config", "--syntax-only", EXAMPLES / "prometheus-blackbox.yml")
    (job,) = yaml.safe_load((EXAMPLES / "prometheus-blackbox.yml").read_text())["scrape_configs"]
    config = parse_config((EXAMPLES / "blackbox.yml").read_text(), "blackbox.yml")
    [module] = job["params"]["module"]
    assert config.modules[module].min_interval_seconds < int(job["scrape_interval"].removesuffix("s"))
    assert config.modules[module].timeout_seconds < int(job["scrape_timeout"].removesuffix("s"))


def test_the_page_names_every_key_family_reason_and_phase() -> None:
    named = set(re.findall(r"`([a-z_]+)(?:\{[a-z,]+\})?`", PAGE))
    assert set(Module.model_fields) | set(BudgetLimits.model_fields) <= named
    assert BLACKBOX_FAMILIES.keys() | BLACKBOX_PROBER_FAMILIES.keys() <= named
    assert {*BlackboxFailure, *BlackboxPhase} <= named


SERIES = '{instance="gpu-1:8000",service="chat",node="gpu-1",job="llm-blackbox"}'


@pytest.mark.parametrize(
    ("series", "at", "fires"),
    [
        ({"llm_probe_success" + SERIES: "1x20"}, "20m", []),
        ({"llm_probe_success" + SERIES: "1x10 0x5"}, "12m", []),
        ({"llm_probe_success" + SERIES: "1x10 0x5"}, "14m", ["LLMProbeFails"]),
        ({"llm_probe_success" + SERIES: "1x10 _x5"}, "14m", []),
        ({"llm_probe_time_to_first_token_seconds" + SERIES: "3x40"}, "10m", ["LLMProbeFirstTokenSlow"]),
        ({"llm_probe_time_to_first_token_seconds" + SERIES: "0.5 30 0.5x40"}, "10m", []),
        (
            {'llm_probe_failure_info{reason="budget",' + SERIES[1:]: "1x20"},
            "5m",
            ["LLMProbeNotMade"],
        ),
        (
            {
                'llm_probe_failure_info{reason="budget",' + SERIES[1:]: "1 _ 1 _ 1 _ 1",
                "llm_probe_success" + SERIES: "_ 1 _ 1 _ 1 _",
            },
            "5m",
            [],
        ),
    ],
)
def test_the_alerts_fire_when_they_should(tmp_path: Path, series: dict[str, str], at: str, fires: list[str]) -> None:
    rules = yaml.safe_load((EXAMPLES / "blackbox-rules.yml").read_text())
    alerts = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    promtool("check", "rules", EXAMPLES / "blackbox-rules.yml")
    firing = f"count(ALERTS{{alertstate='firing'}}) by (alertname) or vector({len(fires)}) unless on () ALERTS"
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in fires]
    file = tmp_path / "test.yml"
    test = {
        "rule_files": [str(EXAMPLES / "blackbox-rules.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": _written(values)} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": firing, "eval_time": at, "exp_samples": expected or [{"labels": "{}", "value": 0}]}
                ],
            }
        ],
    }
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", file)
    assert set(fires) <= alerts.keys()


def _written(values: str) -> str:
    """promtool's `_x5` and `1x5` mean one sample more than they say; here they mean what they say."""
    parts = []
    for part in values.split():
        value, _, count = part.partition("x")
        parts += [value] * int(count or 1)
    return " ".join(parts)
