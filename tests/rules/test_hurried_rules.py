"""What tests in real time run on: the shipped rules with every duration shorter, and nothing else changed."""

import re
from pathlib import Path
from typing import Any

import pytest

from rules import plain_yaml
from tests.helpers.hurried_rules import hurried_rules, shorter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rate(x[1m])", "rate(x[15000ms])"),
        ("max_over_time(y[5m:15s])", "max_over_time(y[75000ms:3750ms])"),
        ("x offset 1h30m", "x offset 1350000ms"),
        ("2d", "43200000ms"),
    ],
)
def test_durations_become_shorter_in_proportion(text: str, expected: str) -> None:
    assert shorter(text, 4) == expected


def test_the_shipped_rules_stay_the_same_but_for_their_durations(rules_dir: Path, tmp_path: Path) -> None:
    def flattened(rule: dict[str, Any]) -> dict[str, Any]:
        waits = {key: "" for key in ("for", "keep_firing_for") if key in rule}
        return rule | waits | {"expr": re.sub(r"\[[^]]*\]|offset \S+", "", str(rule["expr"]))}

    hurried_rules(rules_dir, tmp_path, 4)
    written = sorted(tmp_path.rglob("*.yml"))
    assert tmp_path / "bottlenecks" / "inference.yml" in written
    for path in written:
        shipped = plain_yaml.read(rules_dir / path.relative_to(tmp_path))["groups"]
        for hurried, original in zip(plain_yaml.read(path)["groups"], shipped, strict=True):
            assert [flattened(rule) for rule in hurried["rules"]] == [flattened(rule) for rule in original["rules"]]
            assert not re.search(r"\[\d+m\]", str(hurried))
