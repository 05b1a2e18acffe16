"""What the boards say forbids a scale-in is what the rule that decides says, in every case of the rule's own tests."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from dashboards import capacity_queries as queries
from dashboards.inspection import substitute
from dashboards.queries import Query, Scope
from rules.pack import RULES_DIR, load_rules

SCOPE = Scope()
CASES = RULES_DIR / "tests" / "capacity.test.yml"
PARTS: dict[str, Query] = {
    "All report": queries.everything_reports(SCOPE),
    "Enough left": queries.enough_left(SCOPE),
    "Room: requests": queries.room_left("requests", SCOPE),
    "Room: KV cache": queries.room_left("kv_cache", SCOPE),
    "Queues short": queries.queues_stay_short(SCOPE),
    "Budgets kept": queries.budgets_kept(SCOPE),
    "No more asked for": queries.nothing_asks_for_more(SCOPE),
    "No bottleneck": queries.no_bottleneck(SCOPE),
    "No change": queries.no_change(SCOPE),
}
_SERIES = re.compile(r"\b(?:service|replica):[\w:]+|\boptiinfra_\w+")


def _all_parts() -> str:
    """1 for each service of which every part says yes."""
    return " and on (service) ".join(f"({substitute(part.expr)}) == 1" for part in PARTS.values())


def test_the_parts_read_what_the_rule_reads() -> None:
    (rule,) = (rule for rule in load_rules() if rule.name == queries.NOW)

    assert set(_SERIES.findall(" ".join(part.expr for part in PARTS.values()))) == set(_SERIES.findall(rule.expr))


def test_the_parts_say_yes_exactly_where_the_rule_does(tmp_path: Path) -> None:
    rule = f"{queries.NOW} == 1"
    document = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    document["rule_files"] = [str((CASES.parent / name).resolve()) for name in document["rule_files"]]
    for case in document["tests"]:
        moments = sorted({check["eval_time"] for check in case.get("promql_expr_test", ())})
        differences = (f"{rule} unless on (service) ({_all_parts()})", f"({_all_parts()}) unless on (service) {rule}")
        case.pop("alert_rule_test", None)
        case["promql_expr_test"] = [
            {"expr": expr, "eval_time": moment, "exp_samples": []} for expr in differences for moment in moments
        ]
    file = tmp_path / "parts.test.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is not on PATH: install Debian's package `prometheus` (2.42 or newer)")

    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
