"""How well `recommender.sizing.predict` tells what an engine does: its steady states against the simulated engine.

    python -m bench.sizing_bench [--only TEXT] [--seed N] [--markdown]

Each configuration is played in virtual time until some hundred or thousand requests have ended; the model gets the
same shape, the same step and the load as it came. Ends with status 1 where throughput is off by more than 15 % or KV
tokens by more than 3 %, or where fewer than nine in ten of a figure's measured values lie inside its predicted range.
How far latencies are off is printed and held to nothing: means size a change, quantiles only inform.
"""

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import click

from bench.sizing_grid import Case, Measured, grid, simulate
from recommender.sizing.predict import Prediction
from recommender.sizing.ranges import Range, Steps, predict_range

THROUGHPUT_LIMIT = 0.15
KV_LIMIT = 0.03
INSIDE_LIMIT = 0.90
RANGED = (
    "tokens_per_second",
    "running",
    "waiting",
    "kv_tokens",
    "ttft_p50_seconds",
    "ttft_p95_seconds",
    "itl_mean_seconds",
    "itl_p95_seconds",
    "preemptions_per_request",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration, predicted and measured."""

    case: Case
    measured: Measured
    predicted: Prediction
    ranges: Mapping[str, Range]

    def inside(self, figure: str) -> bool | None:
        """Whether what was measured lies in the predicted range; None where the queue grows: it has no value then."""
        found = self.ranges[figure]
        return None if found.mid is None else found.holds(getattr(self.measured, figure))

    @property
    def throughput_error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted.tokens_per_second / self.measured.tokens_per_second - 1

    @property
    def kv_error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted.kv_tokens / self.measured.kv_tokens - 1

    @property
    def latency_errors(self) -> dict[str, float | None]:
        """Predicted over measured, less 1, by name; None where the queue grows: TTFT has no value then."""
        pairs = {
            "TTFT p50": (self.predicted.ttft_p50_seconds, self.measured.ttft_p50_seconds),
            "TTFT p95": (self.predicted.ttft_p95_seconds, self.measured.ttft_p95_seconds),
            "ITL mean": (self.predicted.itl_mean_seconds, self.measured.itl_mean_seconds),
            "ITL p95": (self.predicted.itl_p95_seconds, self.measured.itl_p95_seconds),
        }
        return {name: None if ours is None else ours / theirs - 1 for name, (ours, theirs) in pairs.items()}

    @property
    def holds(self) -> bool:
        """Whether both limits hold."""
        return abs(self.throughput_error) <= THROUGHPUT_LIMIT and abs(self.kv_error) <= KV_LIMIT


def compare(case: Case, seed: int = 7) -> Line:
    """Play one configuration and predict it."""
    measured = simulate(case, seed)
    told = predict_range(case.shape(), Steps.of(case.step()), measured.workload)
    return Line(case, measured, told.likely, told.ranges)


@click.command()
@click.option("--only", default="", help="Only configurations whose name contains this.")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--markdown", is_flag=True, help="As the table of docs/sizing.md.")
def main(only: str, seed: int, *, markdown: bool) -> None:
    """Compare the sizing model with the simulated engine."""
    lines = [compare(case, seed) for case in grid() if only in case.name]
    for row in table(lines, markdown=markdown):
        print(row)
    print()
    for row in summary(lines):
        print(row)
    honest = all(share >= INSIDE_LIMIT for share in inside(lines).values())
    sys.exit(0 if honest and all(line.holds for line in lines) else 1)


_COLUMNS = ("configuration", "limited by", "tokens/s", "err %", "KV tokens", "err %", "running", "predicted")
_LATENCIES = ("TTFT p50", "TTFT p95", "ITL mean", "ITL p95")


def table(lines: Iterable[Line], *, markdown: bool = False) -> Iterable[str]:
    """One row a configuration: measured figures, and how far the model is from them in percent."""
    rows = [[*_COLUMNS, *(f"{name} err %" for name in _LATENCIES)]]
    rows += [_row(line) for line in lines]
    if markdown:
        yield "| " + " | ".join(rows[0]) + " |"
        yield "| --- | --- |" + " ---: |" * (len(rows[0]) - 2)
        yield from ("| " + " | ".join(row) + " |" for row in rows[1:])
        return
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)  # noqa: PLR2004 - the two columns of words
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def _row(line: Line) -> list[str]:
    measured, predicted = line.measured, line.predicted
    errors = line.latency_errors
    return [
        line.case.name,
        predicted.limited_by,
        f"{measured.tokens_per_second:.0f}",
        f"{100 * line.throughput_error:+.1f}",
        f"{measured.kv_tokens:.0f}",
        f"{100 * line.kv_error:+.2f}",
        f"{measured.running:.2f}",
        f"{predicted.running:.2f}",
        *(_percent(errors[name]) for name in _LATENCIES),
    ]


def inside(lines: Iterable[Line]) -> dict[str, float]:
    """Share of configurations in which what was measured lies in the predicted range, by figure."""
    found: dict[str, float] = {}
    for figure in RANGED:
        told = [one for line in lines if (one := line.inside(figure)) is not None]
        if told:
            found[figure] = sum(told) / len(told)
    return found


def _percent(error: float | None) -> str:
    return "grows" if error is None else f"{100 * error:+.0f}"


def summary(lines: Sequence[Line]) -> Iterable[str]:
    """The largest and the median errors, and what misses its limit."""
    if not lines:
        yield "no configuration has this name"
        return
    sizes = {
        "throughput": [abs(line.throughput_error) for line in lines],
        "KV tokens": [abs(line.kv_error) for line in lines],
    }
    for name in _LATENCIES:
        sizes[name] = [abs(error) for line in lines if (error := line.latency_errors[name]) is not None]
    for name, errors in sizes.items():
        if errors:
            yield f"{name}: median {100 * statistics.median(errors):.1f} %, largest {100 * max(errors):.1f} %"
    for name, share in inside(lines).items():
        widths = [width for line in lines if (width := _width(line.ranges[name])) is not None]
        wide = f", median width a factor of {statistics.median(widths):.2f}" if widths else ""
        yield f"{name}: {100 * share:.0f} % of what was measured inside the predicted range{wide}"
    missed = [line.case.name for line in lines if not line.holds]
    yield f"{len(lines) - len(missed)} of {len(lines)} configurations within 15 % of throughput and 3 % of KV tokens"
    yield from (f"missed: {name}" for name in missed)


def _width(found: Range) -> float | None:
    """High over low end; None where that has no bound."""
    return found.high / found.low if found.high is not None and found.low else None


if __name__ == "__main__":
    main()
