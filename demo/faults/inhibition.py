"""What Alertmanager would keep from people: the shipped inhibition rules, as logic."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIGURATION = Path(__file__).parents[2] / "alertmanager" / "alertmanager.yml"
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"(.*)"')

Alert = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Matcher:
    label: str
    operator: str
    value: str

    def matches(self, alert: Alert) -> bool:
        have = alert.get(self.label, "")
        same = bool(re.fullmatch(self.value, have)) if "~" in self.operator else have == self.value
        return same is not self.operator.startswith("!")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `inhibit_rules`."""

    source: tuple[_Matcher, ...]
    target: tuple[_Matcher, ...]
    equal: tuple[str, ...]

    def mutes(self, source: Alert, target: Alert) -> bool:
        """Whether a firing `source` mutes `target`; as in Alertmanager, two that are both do not mute each other."""
        if not (_all(self.source, source) and _all(self.target, target)):
            return False
        if any(source.get(label, "") != target.get(label, "") for label in self.equal):
            return False
        return not (_all(self.source, target) and _all(self.target, source))


def shipped(path: Path = CONFIGURATION) -> tuple[Rule, ...]:
    """The rules of the shipped configuration."""
    return tuple(_rule(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["inhibit_rules"])


def heard(alerts: Sequence[Alert], rules: Sequence[Rule]) -> list[Alert]:
    """Those of the alerts that no other one mutes."""
    return [one for one in alerts if not any(rule.mutes(other, one) for rule in rules for other in alerts)]


def _rule(entry: Mapping[str, Any]) -> Rule:
    return Rule(
        tuple(_matcher(text) for text in entry["source_matchers"]),
        tuple(_matcher(text) for text in entry["target_matchers"]),
        tuple(entry.get("equal", ())),
    )


def _matcher(text: str) -> _Matcher:
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f'not a matcher: {text}; expected label="value", or =~, !=, !~')
    return _Matcher(found[1], found[2], found[3])


def _all(matchers: Sequence[_Matcher], alert: Alert) -> bool:
    return all(matcher.matches(alert) for matcher in matchers)
