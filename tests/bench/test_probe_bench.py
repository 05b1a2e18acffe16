"""The promise about the cost of a probe, held on a real 52 KB exposition."""

from bench.probe_bench import CAPTURE, measure


def test_a_probe_costs_at_most_4_ms_and_the_reader_is_10_times_as_fast_as_the_reference_parser() -> None:
    text = CAPTURE.read_text(encoding="utf-8")
    assert len(text) > 50_000
    figures = measure(text, rounds=25)
    assert figures.probe <= 4
    assert figures.ratio >= 10
    assert figures.cold_ratio >= 10
