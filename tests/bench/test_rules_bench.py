"""What the benchmark of the rules serves and computes."""

import time

from bench.rules_bench import Figures, Group, report
from bench.rules_load import HISTORY_STEPS, STEP_SECONDS, Load, nodes, past, service

PAGES = [f'# TYPE a counter\na{{model="tiny-llama"}} {step}\n'.encode() for step in range(HISTORY_STEPS + 2)]


def test_the_past_is_every_step_with_its_time_and_ends_a_step_ago() -> None:
    lines = past(PAGES, now=1000.0).splitlines()
    assert len(lines) == HISTORY_STEPS
    assert lines[-1].split() == [b'a{model="tiny-llama"}', str(HISTORY_STEPS - 1).encode(), b"985000"]
    assert int(lines[-1].split()[-1]) - int(lines[-2].split()[-1]) == 1000 * STEP_SECONDS


def test_a_target_has_its_past_once_and_the_model_of_its_service() -> None:
    load = Load(40, [PAGES], PAGES, started=time.time())
    first, then = (load.answer(b"/replica/25").partition(b"\r\n\r\n")[2] for _ in range(2))
    assert first.count(b"a{") == HISTORY_STEPS
    assert then.count(b"a{") == 1
    assert service(25).encode() == b"service-1"
    assert b'"model-service-1"' in then


def test_a_group_that_runs_seldom_counts_by_its_share() -> None:
    groups = {"rules.yml;often": Group(0.5, 15), "rules.yml;seldom": Group(2.0, 60)}
    counts = {"replica": 9, "gpu": 8, "node": 7, "service": 6, "head_series": 5, "scraped_series": 4}
    figures = Figures(
        100, groups, missed=0, failures=0, scrape_cpu_seconds=1, cpu_seconds=2.5, rss_mebibytes=64, **counts
    )
    assert (figures.seconds, figures.rule_cpu_seconds) == (1.0, 1.5)
    table = report([figures], top=1)
    assert "seldom (every 60 s)" in table or "often" in table
    assert nodes(100) == 13
