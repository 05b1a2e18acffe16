"""Fixtures of the rule tests: the rules as data, and promtool."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rules import plain_yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "rules"


@pytest.fixture(scope="session")
def rules_dir() -> Path:
    return RULES


@pytest.fixture(scope="session")
def rule_files() -> list[Path]:
    """Every rule file: all YAML under rules/ that is neither a test nor Prometheus's configuration."""
    files = [path for path in RULES.rglob("*.yml") if "tests" not in path.parts and path.name != "prometheus.yml"]
    assert files
    return sorted(files)


@pytest.fixture(scope="session")
def rules(rule_files: list[Path]) -> list[dict[str, Any]]:
    """Every rule, with the file that holds it under `file`."""
    return [
        {**rule, "file": str(path.relative_to(RULES))}
        for path in rule_files
        for group in plain_yaml.read(path)["groups"]
        for rule in group["rules"]
    ]


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Runs promtool with the given arguments; gives its output, fails the test when it fails."""
    binary = shutil.which("promtool")
    if binary is None:
        pytest.fail("promtool is not on PATH: install Debian's package `prometheus` (2.42 or newer)")

    def run(*arguments: str | Path, timeout: float = 170) -> str:  # less than pytest waits for a test
        command = [binary, *map(str, arguments)]
        # Less often collected, its garbage costs a fifth less time.
        environment = {"GOGC": "400", **os.environ}
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=environment)
        output = done.stdout + done.stderr
        assert done.returncode == 0, f"{' '.join(command)}\n{output}"
        return output

    return run
