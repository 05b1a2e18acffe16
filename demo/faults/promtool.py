"""The rule pack over recordings, in compressed time, by promtool: Prometheus's own storage and rule engine.

One test file holds a batch of scenarios side by side, as the services of one fleet; its questions expect nothing, so
promtool prints what it got instead.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_TIMEOUT_SECONDS = 1200
_GROUP = re.compile(r"^ *- name: (\S+)$", re.MULTILINE)
_WORD = re.compile(r"[\w:]+")
# Sources of engines ask for these of every target, to yield to the prober.
_EVERYWHERE = frozenset({"up", "llm_up"})
_ANSWER = re.compile(r"^ {8}got: ?(.*)$", re.MULTILINE)
_SAMPLE = re.compile(r"(\w*)\{((?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*)\} (\S+?)(?:, |$)")
_LABEL = re.compile(r"(\w+)=(\"(?:[^\"\\]|\\.)*\")")


class PromtoolError(RuntimeError):
    """promtool is not there, or could not run the rules."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Rule files as Prometheus loads them: the order of its configuration, which is the order of evaluation here.

    A real Prometheus starts each group at a moment of its own within the interval; `reversed` is the slowest order.
    """

    folder: Path
    reversed: bool = False

    def files(self) -> list[Path]:
        """Rule files in the order of `rule_files`."""
        named = yaml.safe_load((self.folder / "prometheus.yml").read_text(encoding="utf-8"))["rule_files"]
        return [path for pattern in named for path in sorted(self.folder.glob(pattern))]

    def files_for(self, names: AbstractSet[str]) -> list[Path]:
        """Without the sources that read none of the series called `names`: they would record nothing, slowly."""
        return [path for path in self.files() if path.parent.name != "sources" or _reads(path, names)]

    def order(self, files: Iterable[Path]) -> list[str]:
        """Names of the groups of `files` in the order of evaluation."""
        texts = (path.read_text(encoding="utf-8") for path in files)
        names = [name for text in texts for name in _GROUP.findall(text)]
        return names[::-1] if self.reversed else names


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an answer."""

    labels: Mapping[str, str]
    value: float


def ask(
    pack: Pack, series: Iterable[Mapping[str, str]], interval: float, questions: Mapping[str, float]
) -> list[list[Sample]]:
    """The answer to each question (PromQL -> the second it is asked at), the rules being evaluated each `interval`."""
    given = list(series)
    files = pack.files_for({one["series"].partition("{")[0] for one in given})
    document: dict[str, Any] = {
        "rule_files": [str(path.resolve()) for path in files],
        "evaluation_interval": f"{interval:g}s",
        "group_eval_order": pack.order(files),
        "tests": [
            {
                "interval": f"{interval:g}s",
                "input_series": given,
                # A question that gives nothing would pass and print nothing: each is expected to give what it cannot.
                "promql_expr_test": [
                    {"expr": expr, "eval_time": f"{at:g}s", "exp_samples": [{"labels": "impossible", "value": 0}]}
                    for expr, at in questions.items()
                ],
            }
        ],
    }
    with tempfile.TemporaryDirectory(prefix="optiinfra-faults-") as folder:
        path = Path(folder) / "faults.test.yml"
        path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        output = _run(path)
    answers = [read_samples(text) for text in _ANSWER.findall(output)]
    if len(answers) != len(questions):
        raise PromtoolError(f"promtool answered {len(answers)} of {len(questions)} questions:\n{output[:2000]}")
    return answers


def read_samples(text: str) -> list[Sample]:
    """Samples as promtool prints them: `name{label="value", …} 1.5E+01, …`; `nil` is none."""
    found = []
    for name, labels, value in _SAMPLE.findall(text):
        pairs = {key: str(json.loads(quoted)) for key, quoted in _LABEL.findall(labels)}
        found.append(Sample({"__name__": name, **pairs} if name else pairs, float(value)))
    return found


def _reads(path: Path, names: AbstractSet[str]) -> bool:
    words = frozenset(_WORD.findall(path.read_text(encoding="utf-8")))
    return not words.isdisjoint(names - _EVERYWHERE)


def _run(path: Path) -> str:
    binary = shutil.which("promtool")
    if binary is None:
        raise PromtoolError("promtool is not on PATH: install Debian's package `prometheus` (2.42 or newer)")
    done = subprocess.run(
        [binary, "test", "rules", str(path)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
        env={"GOGC": "400", **os.environ},  # a collection less often: a quarter of the time
    )
    return done.stdout + done.stderr
