"""All signals of some services at one instant, from a Prometheus that records none of them.

Rules are evaluated in the order in which they read each other. What one gave is written into the expressions of those
that read it at the same instant; ranges are subqueries. Many expressions go in one query, told apart by a label; where
Prometheus refuses one of them, the others are asked again without it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from recommender.contracts import Sample
from recommender.errors import PrometheusError
from recommender.oneshot.client import QueryRefused, TookTooLong
from rules.inline.inliner import Inliner, Limits
from rules.inline.leaves import Constant
from rules.inline.piece import Refused
from rules.pack import Rule

_TAG = "oneshot"
_BATCH_CHARACTERS = 60_000
DEFAULT_STEPS = Limits().steps
_TIMEOUTS = 3  # after as many it is too slow for all of it, and asking on would only burden it
_SIGNAL = re.compile(r"(replica|service|node|gpu):")
_BUCKETS = re.compile(r"_(bucket|sum|count):")
# For people, autoscalers and the health of the monitoring itself; no diagnosis reads them.
_UNREAD = re.compile(r"scores/|meta\.yml$")


class Vectors(Protocol):
    """What is asked of the client."""

    def vector(self, query: str, at: datetime) -> list[Sample]:
        """Every sample of an instant query. Raises PrometheusError, `QueryRefused` where another query may do."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What the rules would have recorded, and what they could not, with the reason, by the rule's place."""

    samples: tuple[Sample, ...]
    refused: Mapping[str, str]


@dataclass(slots=True)
class _Run:
    """Answers so far."""

    samples: list[Sample] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    timeouts: int = 0

    def too_slow(self, refused: QueryRefused) -> bool:
        """Count what took too long; True when that was once too often."""
        self.timeouts += isinstance(refused, TookTooLong)
        return self.timeouts > _TIMEOUTS


def evaluate(
    client: Vectors, inliner: Inliner, rules: Sequence[Rule], at: datetime, *, steps: int = DEFAULT_STEPS
) -> Evaluated:
    """Every signal that a diagnosis reads. `steps`: what one query may take, as the limits of one expression say it.

    Raises PrometheusError when Prometheus stops answering.
    """
    run = _Run()
    for level in _levels(inliner, rules):
        asked: list[tuple[Rule, str, int]] = []
        for rule in level:
            try:
                piece = inliner.rule(rule)
            except Refused as refused:
                _refuse(run, inliner, rule, str(refused))
                continue
            if piece is None:
                inliner.settle(rule, Constant(()))
            else:
                asked.append((rule, piece.text, piece.steps))
        for batch in _batches(asked, steps):
            _ask(client, inliner, batch, at, run)
    return Evaluated(tuple(run.samples), run.refused)


def wanted(rule: Rule) -> bool:
    """Whether a diagnosis may read what a rule records."""
    named = _SIGNAL.match(rule.name) and not _BUCKETS.search(rule.name)
    return not rule.is_alert and bool(named) and not _UNREAD.search(rule.file)


def _levels(inliner: Inliner, rules: Sequence[Rule]) -> list[list[Rule]]:
    """Rules after all that they read; a circle is cut where it is entered."""
    depth: dict[int, int] = {}
    found: dict[int, Rule] = {}

    def visit(rule: Rule) -> int:
        if id(rule) not in depth:
            depth[id(rule)] = 0
            found[id(rule)] = rule
            depth[id(rule)] = 1 + max((visit(one) for one in inliner.read_by(rule)), default=0)
        return depth[id(rule)]

    for rule in rules:
        if wanted(rule):
            visit(rule)
    levels: dict[int, list[Rule]] = {}
    for key, rule in found.items():
        levels.setdefault(depth[key], []).append(rule)
    return [levels[level] for level in sorted(levels)]


def _batches(asked: Iterable[tuple[Rule, str, int]], most: int) -> Iterator[list[tuple[Rule, str]]]:
    batch: list[tuple[Rule, str]] = []
    characters = steps = 0
    for rule, text, cost in asked:
        if batch and (characters + len(text) > _BATCH_CHARACTERS or steps + cost > most):
            yield batch
            batch, characters, steps = [], 0, 0
        batch.append((rule, text))
        characters, steps = characters + len(text), steps + cost
    if batch:
        yield batch


def _ask(client: Vectors, inliner: Inliner, batch: Sequence[tuple[Rule, str]], at: datetime, run: _Run) -> None:
    """Ask for a batch; in halves where it is refused, until what is refused stands alone."""
    query = " or ".join(f'label_replace({text},"{_TAG}","{place}","","")' for place, (_, text) in enumerate(batch))
    try:
        answer = client.vector(query, at)
    except QueryRefused as refused:
        if run.too_slow(refused):
            raise PrometheusError(
                "Prometheus does not answer in time, query after query. Choose one service with --service, wait longer "
                "with --timeout, or let Prometheus record the signals: optiinfra diagnose --install-rules"
            ) from refused
        if len(batch) == 1:
            _refuse(run, inliner, batch[0][0], f"Prometheus: {refused}")
            return
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            _ask(client, inliner, half, at, run)
        return
    found: dict[int, list[tuple[Mapping[str, str], float]]] = {place: [] for place in range(len(batch))}
    for sample in answer:
        labels = {name: value for name, value in sample.labels.items() if name not in (_TAG, "__name__")}
        found[int(sample.labels[_TAG])].append((labels, sample.value))
    for place, (rule, _) in enumerate(batch):
        inliner.settle(rule, Constant(tuple(found[place])))
        run.samples += [Sample({"__name__": rule.name, **labels}, value) for labels, value in found[place]]


def _refuse(run: _Run, inliner: Inliner, rule: Rule, reason: str) -> None:
    inliner.settle(rule, Refused(reason))
    if wanted(rule):
        run.refused[rule.place] = reason
