"""Compares rules with the prober: promtool evaluates rules on what scrapes would store of two pages of an engine."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters.catalog import Engine, EngineCatalogue, Kind, load_engine, own_labels
from exporters.exposition import Labels, Reader
from exporters.inference.mapping import Mapper
from exporters.inference.plausible import plausible
from rules.catalog import HISTOGRAMS, SOURCE_COUNTERS, SOURCE_GAUGES, SOURCE_INFOS, source_windows
from tests.helpers.catalogue_pages import cumulative

SOURCES = Path(__file__).parents[2] / "rules" / "sources"
PARTS = ("_bucket", "_sum", "_count")
STEP_SECONDS = 15
# Enough of them that the widest window is full at the end.
STEPS = 25

_TARGET = {"service": "chat", "instance": "e:8000", "node": "n1"}
_CANONICAL = ("engine", "model", "le")

Series = dict[tuple[str, Labels], float]


@dataclass(frozen=True, slots=True)
class Case:
    """Two pages of an engine, one step apart. `model` is the target's label, for an engine that names none."""

    name: str
    catalogue: EngineCatalogue
    first: str
    second: str

    @property
    def model(self) -> str:
        return "" if self.catalogue.model_label else "m"


def advanced(catalogue: EngineCatalogue, text: str) -> str:
    """The page a step later: whatever only grows has grown by a half, so histograms stay histograms."""
    names = cumulative(catalogue)

    def later(line: str) -> str:
        series, _, value = line.rpartition(" ")
        grows = not line.startswith("#") and re.split(r"[{ ]", line, maxsplit=1)[0] in names
        return f"{series} {float(value) * 1.5!r}" if grows else line

    return "\n".join(map(later, text.splitlines())) + "\n"


def expected(case: Case) -> Series:
    """The prober's families as signals: gauges of the second page, rates between the two."""
    mapper = Mapper(case.catalogue)
    signals = {family: signal for signal, family in (SOURCE_GAUGES | SOURCE_INFOS).items()}
    stems = {family: stem for stem, family in (SOURCE_COUNTERS | HISTOGRAMS).items()}
    reader, found = Reader(mapper.wanted), defaultdict[tuple[str, Labels], float](float)
    for sign, text in ((-1, case.first), (1, case.second)):
        families, _ = plausible(mapper.families(reader.read(text)))
        for family, samples in families:
            for suffix, labels, value in samples:
                names = ("engine", *own_labels(family)) if family.kind is Kind.INFO else _CANONICAL
                kept = tuple((name, text or case.model) for name, text in labels if name in names)
                if family.name in stems:
                    stem = stems[family.name]
                    part = suffix if family.kind is Kind.HISTOGRAM else ""
                    for window in source_windows(stem, part):
                        found[f"{stem}{part}:rate{window}", kept] += sign * value / STEP_SECONDS
                elif family.name in signals and sign == 1:
                    found[signals[family.name], kept] = value
    return dict(found)


def unit(case: Case) -> dict[str, object]:
    """A unit test of promtool: what is expected, each with its labels, and nothing else."""
    signals = expected(case)
    end = f"{STEPS * STEP_SECONDS}s"
    everything = {"expr": 'count({__name__=~"replica:.+"})', "eval_time": end}
    tests = [
        {**everything, "exp_samples": [{"labels": "{}", "value": len(signals)}] if signals else []},
        *(_close_to(signal, labels, value, end) for (signal, labels), value in signals.items()),
    ]
    series = list(_stored(case))
    return {"name": case.name, "interval": f"{STEP_SECONDS}s", "input_series": series, "promql_expr_test": tests}


def document(cases: Iterable[Case], path: Path) -> Path:
    """A test file of promtool: the source rules of the cases' engines give what is expected, others nothing."""
    units = [unit(case) for case in cases]
    # Rules are evaluated when all is stored, and not before: they read no history but that of the engine's series.
    once = f"{STEPS * STEP_SECONDS}s"
    rules = [str(SOURCES / f"{engine.value}.yml") for engine in Engine if load_engine(engine).families]
    content = {"rule_files": rules, "evaluation_interval": once, "tests": units}
    path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    return path


def _stored(case: Case) -> Iterator[dict[str, str]]:
    reader = Reader(Mapper(case.catalogue).wanted)
    start, growing = reader.read(case.first).samples, cumulative(case.catalogue)
    target = {**_TARGET, "job": case.catalogue.engine.value} | ({"model": case.model} if case.model else {})
    for name, series in reader.read(case.second).samples.items():
        for labels, value in series.items():
            before = start[name][labels]
            values = f"{before!r}+{value - before!r}x{STEPS}" if name in growing else f"{value!r}x{STEPS}"
            yield {"series": f"{name}{{{_matchers({**target, **dict(labels)}.items())}}}", "values": values}


def _close_to(signal: str, labels: Labels, value: float, end: str) -> dict[str, object]:
    found = _matchers((*_TARGET.items(), *((name, text) for name, text in labels if text)))
    tolerance = 1e-9 * (1 + abs(value))
    return {
        "expr": f"abs({signal}{{{_matchers(labels)}}} - {value!r}) <= bool {tolerance!r}",
        "eval_time": end,
        "exp_samples": [{"labels": f"{{{found}}}", "value": 1}],
    }


def _matchers(labels: Iterable[tuple[str, str]]) -> str:
    return ",".join(f"{name}={json.dumps(text)}" for name, text in labels)
