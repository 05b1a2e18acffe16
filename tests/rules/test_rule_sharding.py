"""Which groups may be spread by service follows from what their rules read."""

import pytest

from rules.pack import Rule, load_rules
from rules.sharding import Split, group_uses, split_of


def rule(record: str, expr: str, file: str = "signals.yml") -> Rule:
    return Rule(file, "group", record, is_alert=False, expr=expr, labels={}, annotations={})


@pytest.mark.parametrize(
    ("record", "expr", "split"),
    [
        ("service:llm_requests:rate5m", "sum by (service, model) (replica:llm_requests:rate5m)", Split.SERVICE),
        ("replica:llm_up", "max by (service, instance, engine, node) (llm_up)", Split.SERVICE),
        ("replica:x", "replica:y and on (service, instance, node) replica:z", Split.SERVICE),
        ("replica:x", "replica:y unless on (node) replica:z", Split.NODE),
        ("replica:x", "replica:y and on (node) gpu:gpu_up", Split.NODE),
        ("gpu:gpu_up", "min by (node, gpu, uuid) (gpu_up)", Split.NODE),
        ("threshold:x", "vector(1)", Split.EVERY),
    ],
)
def test_a_join_by_node_needs_all_of_a_node_and_a_service_alone_does_not(record: str, expr: str, split: Split) -> None:
    assert (
        split_of(
            [rule("replica:llm_up", "llm_up") if split is Split.SERVICE else rule(record, expr), rule(record, expr)]
        )
        is split
    )


def test_every_group_is_told_of_and_what_watches_itself_runs_in_each_shard() -> None:
    uses = group_uses()
    assert {(use.file, use.name) for use in uses} == {(each.file, each.group) for each in load_rules()}
    assert {use.split for use in uses if use.file in {"meta.yml", "thresholds.yml"}} == {Split.EVERY}
    assert {use.split for use in uses if use.file in {"signals.yml", "slo.yml", "sources/optiinfra.yml"}} == {
        Split.SERVICE
    }
    assert {use.split for use in uses if use.file.startswith("bottlenecks/gpu")} == {Split.NODE}
