"""docs/exporters.md and the systemd unit hold what the exporter has."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from exporters.app import PAGES
from exporters.blackbox.config import BudgetLimits, parse_config
from exporters.cli import exporter
from exporters.web.config import ClientAuth, HttpServerConfig, TlsServerConfig, WebConfig

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "exporters.md"
UNIT = ROOT / "deploy" / "systemd" / "optiinfra-exporter.service"
FLAGS = re.compile(r"(?<=<!-- flags -->\n).*(?=<!-- /flags -->)", re.DOTALL)


@pytest.fixture(name="text")
def _text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def options() -> list[click.Option]:
    return [parameter for parameter in exporter.params if isinstance(parameter, click.Option)]


def row(option: click.Option) -> str:
    named = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    variables = ", ".join(f"`{name}`" for name in named)
    nothing = option.default in {None, (), False} or option.to_info_dict()["default"] is None
    default = "" if nothing else f"`{option.default}`"
    text = " ".join((option.help or "").replace("|", "\\|").split())
    return f"| `{option.opts[0]}` | {variables} | {default} | {text} |\n"


def table() -> str:
    return "| flag | variable | default | meaning |\n| --- | --- | --- | --- |\n" + "".join(map(row, options()))


def test_every_flag_is_documented_as_it_is(text: str) -> None:
    if os.environ.get("REGEN"):
        DOCUMENT.write_text(FLAGS.sub(lambda _: table(), text), encoding="utf-8")
        text = DOCUMENT.read_text(encoding="utf-8")
    found = FLAGS.search(text)

    assert found is not None
    assert found[0] == table(), "run this test with REGEN=1"


def test_every_flag_has_a_variable_and_says_what_it_does() -> None:
    assert [option.name for option in options() if not (option.envvar and option.help)] == []


def test_the_pages_are_documented(text: str) -> None:
    for page in PAGES:
        assert re.search(rf"\| `{re.escape(page)}[`?]", text), page


def test_the_keys_of_the_web_configuration_are_documented(text: str) -> None:
    section = text[text.index("## TLS, users, headers") : text.index("## Without privileges")]
    models = (WebConfig, TlsServerConfig, HttpServerConfig)
    keys = {key for model in models for key in (*model.model_fields, *model.unsupported)}

    for name in {*keys, *ClientAuth}:
        assert re.search(rf"`[^`]*{name}[^`]*`", section), name


def test_the_snippets_for_prometheus_are_valid(text: str, tmp_path: Path) -> None:
    snippets = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    jobs = [
        snippet if "scrape_configs" in snippet else {"scrape_configs": [{"job_name": "a", **snippet}]}
        for snippet in snippets
    ]
    config = tmp_path / "prometheus.yml"

    assert jobs
    for job in jobs:
        config.write_text(yaml.safe_dump(job), encoding="utf-8")
        command = ["promtool", "check", "config", "--syntax-only", str(config)]
        checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stderr


def test_links_of_the_document_lead_somewhere(text: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", text)

    assert links
    assert [link for link in links if not (DOCUMENT.parent / link).exists()] == []


def test_the_unit_is_valid_and_leaves_the_service_little(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "optiinfra"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/optiinfra/bin/optiinfra", str(program)), "utf-8")

    for command in (["verify"], ["security", "--offline=true", "--threshold=25", "--no-pager"]):
        checked = subprocess.run(
            ["systemd-analyze", *command, str(unit)], check=False, capture_output=True, text=True, timeout=60
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_unit_runs_the_command_that_is_installed() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()

    assert "ExecStart=/opt/optiinfra/bin/optiinfra exporter" in lines
    assert "DynamicUser=yes" in lines
    assert "CapabilityBoundingSet=" in lines
    assert not [line for line in lines if line.startswith(("PrivateDevices", "ProtectProc", "MemoryDenyWriteExecute"))]


def test_the_example_of_a_blackbox_configuration_is_valid_in_all_it_shows() -> None:
    text = (ROOT / "docs" / "examples" / "blackbox.yml").read_text(encoding="utf-8")
    uncommented = re.sub(r"(?m)^(    )# ", r"\1", text)

    for variant in (text, uncommented):
        assert list(parse_config(variant, "blackbox.yml").modules) == ["completion"]
    assert "Authorization" in parse_config(uncommented, "blackbox.yml").modules["completion"].headers
    assert parse_config(text, "blackbox.yml").budget == BudgetLimits()
