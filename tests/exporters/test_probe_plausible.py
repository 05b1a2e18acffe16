"""What no engine can mean is left out and counted: NaN, infinite and negative values, histograms that contradict."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.catalog import INFERENCE_FAMILIES, Engine, Family, load_engine
from exporters.exposition import Labels, Reader
from exporters.inference.mapping import Mapper
from exporters.inference.plausible import plausible
from exporters.inference.render import Sample

GAUGE = INFERENCE_FAMILIES["llm_requests_running"]
COUNTER = INFERENCE_FAMILIES["llm_prompt_tokens_total"]
HISTOGRAM = INFERENCE_FAMILIES["llm_time_to_first_token_seconds"]
CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
A, B = (("engine", "vllm"), ("model", "a")), (("engine", "vllm"), ("model", "b"))


def histogram(buckets: dict[str, float], total: float = 1.0, count: float = 5.0, of: Labels = A) -> list[Sample]:
    return [
        *(Sample("_bucket", (*of, ("le", bound)), value) for bound, value in buckets.items()),
        Sample("_sum", of, total),
        Sample("_count", of, count),
    ]


@pytest.mark.parametrize("family", [GAUGE, COUNTER], ids=["gauge", "counter"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, -1e-9])
def test_a_value_that_cannot_be_is_left_out_and_the_others_stay(family: Family, value: float) -> None:
    good = Sample("", B, 3.0)
    assert plausible([(family, [Sample("", A, value), good])]) == ([(family, [good])], 1)


def test_a_family_of_which_nothing_is_left_is_absent() -> None:
    assert plausible([(GAUGE, [Sample("", A, math.nan)])]) == ([], 1)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, 1e300])
def test_zero_and_large_values_can_be(value: float) -> None:
    assert plausible([(GAUGE, [Sample("", A, value)])]) == ([(GAUGE, [Sample("", A, value)])], 0)


@pytest.mark.parametrize(
    "broken",
    [
        histogram({"1": 3, "2": 2, "+Inf": 5}),
        histogram({"1": 3, "2": 5}),
        histogram({"1": 3, "1.0": 4, "+Inf": 5}),
        histogram({"1": 3, "x": 4, "+Inf": 5}),
        histogram({"1": 3, "NaN": 4, "+Inf": 5}),
        histogram({"1": math.nan, "+Inf": 5}),
        histogram({"1": -1, "+Inf": 5}),
        histogram({"1": 1, "+Inf": math.inf}),
        histogram({"1": 1, "+Inf": 5}, total=math.nan),
        histogram({"1": 1, "+Inf": 5}, total=-3),
        histogram({"1": 1, "+Inf": 5}, count=math.inf),
    ],
    ids=[
        "falls", "has no infinite bound", "has a bound twice", "has a bound that is no number", "has a NaN bound",
        "has a NaN bucket", "has a negative bucket", "has an infinite bucket", "has a NaN sum", "has a negative sum",
        "has an infinite count",
    ],
)  # fmt: skip
def test_a_histogram_stands_or_falls_as_a_whole(broken: list[Sample]) -> None:
    good = histogram({"1": 1, "+Inf": 5}, of=B)
    mixed = [*broken[:1], *good[:1], *broken[1:], *good[1:]]
    assert plausible([(HISTOGRAM, mixed)]) == ([(HISTOGRAM, good)], len(broken))


@pytest.mark.parametrize(
    "good",
    [
        histogram({"+Inf": 5, "2": 3, "1": 3}),
        histogram({"0.5": 0, "1e1": 0, "inf": 0}, count=0, total=0),
        histogram({"1": 3, "+Inf": 5}, count=6),
        [Sample("_sum", A, 3.0), Sample("_count", A, 2.0)],
    ],
    ids=["in any order", "empty", "whose count runs ahead", "of a summary"],
)
def test_a_histogram_that_can_be_is_left_alone(good: list[Sample]) -> None:
    assert plausible([(HISTOGRAM, good)]) == ([(HISTOGRAM, good)], 0)


@pytest.mark.parametrize("capture", sorted(CAPTURES.glob("*.prom")), ids=lambda path: path.name)
def test_nothing_of_a_real_engine_is_left_out(capture: Path) -> None:
    mapper = Mapper(load_engine(Engine.VLLM))
    families = list(mapper.families(Reader(mapper.wanted).read(capture.read_text(encoding="utf-8"))))
    assert plausible(families) == (families, 0)


samples = st.lists(
    st.builds(
        Sample,
        st.sampled_from(["_bucket", "_sum", "_count"]),
        st.sampled_from([(*of, ("le", bound)) for of in (A, B) for bound in ("1", "2", "+Inf", "", "x")]),
        st.floats(),
    )
)


@given(samples)
def test_whatever_is_left_is_finite_and_every_sample_is_kept_or_counted(given: list[Sample]) -> None:
    families = [(HISTOGRAM, given), (COUNTER, given)]
    kept, left_out = plausible(families)
    assert sum(len(samples) for _, samples in kept) + left_out == 2 * len(given)
    assert all(0 <= sample.value < math.inf for _, samples in kept for sample in samples)
