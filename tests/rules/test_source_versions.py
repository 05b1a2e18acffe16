"""For every vLLM version the direct source rules give what the prober gives: PromQL against Python, value by value."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.catalog import Engine, load_engine
from exporters.exposition import Labels, Reader
from exporters.inference.mapping import Mapper
from rules.catalog import HISTOGRAMS, SOURCE_COUNTERS, SOURCE_GAUGES
from tests.helpers.vllm_versions import OLDER, two_ranks

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
SOURCES = Path(__file__).parents[2] / "rules" / "sources"
TARGET = 'service="chat",instance="e:8000",node="n1"'
CUMULATIVE = re.compile(r"_(total|bucket|sum|count)$")
VERSIONS = {"0.32.0": lambda text: text, "0.32.0, two ranks": two_ranks, **OLDER}

Series = dict[tuple[str, Labels], float]


def input_series(names: frozenset[str], first: str, second: str) -> list[dict[str, str]]:
    """What Prometheus would store: gauges as in the second page, counters growing as between the two, 30 s apart."""
    reader = Reader(names)
    start = reader.read(first).samples
    found = []
    for name, series in reader.read(second).samples.items():
        for labels, value in series.items():
            matchers = ",".join([TARGET, 'job="vllm"', *(f'{label}="{text}"' for label, text in labels)])
            before = start[name][labels]
            values = f"{before!r}+{(value - before) / 2!r}x8" if CUMULATIVE.search(name) else f"{value!r}x8"
            found.append({"series": f"{name}{{{matchers}}}", "values": values})
    return found


def expected(mapper: Mapper, first: str, second: str) -> Series:
    """The prober's families of the two pages, as signals: gauges of the second, rates between the two."""
    signals = {family: signal for signal, family in SOURCE_GAUGES.items()}
    stems = {family: stem for stem, family in (SOURCE_COUNTERS | HISTOGRAMS).items()}
    reader, found = Reader(mapper.wanted), defaultdict[tuple[str, Labels], float](float)
    for sign, text in ((-1, first), (1, second)):
        for family, samples in mapper.families(reader.read(text)):
            for suffix, labels, value in samples:
                kept = tuple((name, text) for name, text in labels if name in ("engine", "model", "le"))
                if family.name in stems:
                    found[f"{stems[family.name]}{suffix}:rate1m", kept] += sign * value / 30
                elif family.name in signals and sign == 1:
                    found[signals[family.name], kept] = value
    return dict(found)


def close_to(signal: str, labels: Labels, value: float) -> dict[str, object]:
    matchers = ",".join(f'{name}="{text}"' for name, text in labels)
    return {
        "expr": f"abs({signal}{{{matchers}}} - {value!r}) <= bool {1e-9 * (1 + abs(value))!r}",
        "eval_time": "2m",
        "exp_samples": [{"labels": f"{{{TARGET},{matchers}}}", "value": 1}],
    }


@pytest.mark.parametrize("state", ["kv_pressure", "prefix_hits"])
@pytest.mark.parametrize("version", VERSIONS)
def test_direct_rules_give_what_the_prober_gives(
    promtool: Callable[..., str], tmp_path: Path, version: str, state: str
) -> None:
    mapper = Mapper(load_engine(Engine.VLLM))
    first, second = (
        VERSIONS[version]((CAPTURES / f"{state}{part}.prom").read_text(encoding="utf-8")) for part in ("", ".2")
    )
    signals = expected(mapper, first, second)
    assert len(signals) > 150
    everything = 'count({__name__=~"replica:.+",__name__!~".+:rate(30s|5m)"})'
    tests = [close_to(signal, labels, value) for (signal, labels), value in signals.items()]
    tests.append({"expr": everything, "eval_time": "2m", "exp_samples": [{"labels": "{}", "value": len(signals)}]})
    series = input_series(mapper.wanted, first, second)
    unit = {"interval": "15s", "input_series": series, "promql_expr_test": tests}
    document = {"rule_files": [str(SOURCES / "vllm.yml")], "evaluation_interval": "15s", "tests": [unit]}
    path = tmp_path / "versions.yml"
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    promtool("test", "rules", path)
