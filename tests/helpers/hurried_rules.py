"""The shipped rules with every duration in proportion shorter: the same conditions, sooner.

For tests on a real Prometheus in real time. That the shipped durations are right is shown in promtool's time.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from rules import plain_yaml

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_IN_EXPRESSION = re.compile(rf"\[{_DURATION}(?::(?:{_DURATION})?)?\]|\boffset\s+-?{_DURATION}")


def hurried_rules(rules: Path, folder: Path, times: float) -> None:
    """Write every rule file under `rules` to the same place under `folder`, `times` as fast."""
    for path in rules.rglob("*.yml"):
        content = plain_yaml.read(path)
        if "groups" not in content:
            continue  # a test, or Prometheus's configuration
        for group in content["groups"]:
            _shorten(group, ("interval",), times)
            for rule in group["rules"]:
                _shorten(rule, ("for", "keep_firing_for"), times)
                rule["expr"] = _IN_EXPRESSION.sub(lambda found: shorter(found[0], times), str(rule["expr"]))
        written = folder / path.relative_to(rules)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(yaml.safe_dump(content), encoding="utf-8")


def _shorten(entry: dict[str, Any], keys: tuple[str, ...], times: float) -> None:
    entry.update({key: shorter(entry[key], times) for key in keys if key in entry})


def shorter(text: str, times: float) -> str:
    """`text` with each duration in it `times` shorter."""

    def divided(found: re.Match[str]) -> str:
        parts = re.findall(r"(\d+)(ms|[smhdwy])", found[0])
        return f"{round(sum(int(number) * _UNITS[unit] for number, unit in parts) * 1000 / times)}ms"

    return re.sub(_DURATION, divided, text)
