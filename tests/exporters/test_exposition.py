"""The reader gives the values of the reference parser, and no line can break it."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporters.exposition import MAX_LABELS_LENGTH, Labels, Reader, Reading, TooManySeriesError

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"

NAMES = ["vllm:num_requests_running", "a_total", "h_bucket", "h", "_x:y"]
label_names = st.sampled_from(["le", "model_name", "engine", "a", "_b9"])
label_values = st.text('ab1{}\\",=\n #\t\r\x0b\u2028é中', max_size=12)
values = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["NaN", "+Inf", "-Inf", "1e5", "0", "-0.0", "1E-3"]),
)


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@st.composite
def sample_lines(draw: st.DrawFn) -> str:
    labels = draw(st.dictionaries(label_names, label_values, max_size=4))
    blank = draw(st.sampled_from(["", " "]))
    inner = f"{blank},{blank}".join(f'{name}{blank}={blank}"{escaped(value)}"' for name, value in labels.items())
    if labels and draw(st.booleans()):
        inner += ","
    braces = f"{{{inner}}}" if labels or draw(st.booleans()) else ""
    stamp = draw(st.sampled_from(["", " 1700000000000", " -5"]))
    return f"{draw(st.sampled_from(NAMES))}{braces}{blank if braces else ' '}{draw(values)}{stamp}"


expositions = st.lists(
    st.one_of(sample_lines(), st.sampled_from(["", "# HELP h a {text", "# TYPE h gauge", "# a comment", "other 3"]))
).map(lambda lines: "".join(f"{line}\n" for line in lines))


def same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


def reference(text: str) -> dict[tuple[str, Labels], float]:
    """What the reference parser gives; of a repeated series the first, as the reader keeps it."""
    found: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault((sample.name, tuple(sorted(sample.labels.items()))), float(sample.value))
    return found


def read(text: str, names: list[str]) -> dict[tuple[str, Labels], float]:
    samples = Reader(names).read(text).samples
    return {(name, labels): value for name, series in samples.items() for labels, value in series.items()}


@given(expositions)
def test_generated_expositions_read_as_with_the_reference_parser(text: str) -> None:
    expected = {key: value for key, value in reference(text).items() if key[0] in NAMES}
    found = read(text, NAMES)
    assert found.keys() == expected.keys()
    assert all(same(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("capture", sorted(CAPTURES.glob("*.prom")), ids=lambda path: path.name)
def test_captures_read_as_with_the_reference_parser(capture: Path) -> None:
    text = capture.read_text(encoding="utf-8")
    expected = reference(text)
    assert read(text, [name for name, _ in expected]) == expected


@given(st.text(max_size=200), st.sampled_from(NAMES))
def test_no_text_raises(tail: str, name: str) -> None:
    Reader(NAMES).read(name + tail)
    Reader(NAMES).read(name + "{" + tail)


@pytest.mark.parametrize(
    "line",
    [
        "h",
        "h ",
        "h x",
        "h 1 2 3",
        "h 1 x",
        "h 1_0",
        "h{",
        "h{}",
        'h{a="b 1',
        'h{a="b} 1',
        "h{a=b} 1",
        'h{a="b"c="d"} 1',
        'h{a="b",a="c"} 1',
        'h{,a="b"} 1',
        'h{a="b"} ',
        'h{9="b"} 1',
        'h{"a"} 1',
    ],
)
def test_a_bad_line_of_a_wanted_name_is_counted_and_the_rest_is_read(line: str) -> None:
    reading = Reader(["h", "k"]).read(f'k 1\n{line}\nk{{}} 2\nk{{a="b"}} 3\n')
    assert reading.samples == {"k": {(): 1.0, (("a", "b"),): 3.0}}
    assert reading.skipped == 2  # the bad line, and `k{}`, which repeats `k`


def test_a_bad_line_of_another_name_is_not_looked_at() -> None:
    assert Reader(["h"]).read('other{a="b x\nh 1\nhh 2\nh_ 3\n').samples == {"h": {(): 1.0}}


def test_a_repeated_series_counts_once_whatever_the_order_of_its_labels() -> None:
    reading = Reader(["h"]).read('h{a="1",b="2"} 5\nh{b="2",a="1"} 6\n')
    assert reading.samples == {"h": {(("a", "1"), ("b", "2")): 5.0}}
    assert reading.skipped == 1


def test_blanks_tabs_and_carriage_returns_are_tolerated() -> None:
    reading = Reader(["h"]).read('  h\t{ a = "1" , } \t5\t170\r\nh\t6\r\n')
    assert reading.samples == {"h": {(("a", "1"),): 5.0, (): 6.0}}
    assert reading.skipped == 0


def test_the_cache_of_label_strings_is_bounded_and_changes_nothing() -> None:
    reader = Reader(["h"], cache_size=10)
    text = "".join(f'h{{a="{i}"}} {i}\n' for i in range(100))
    assert reader.read(text) == reader.read(text)
    assert len(reader.read(text).samples["h"]) == 100
    assert len(reader._cache) <= 10


def test_the_cache_of_label_strings_is_bounded_in_characters_too() -> None:
    reader = Reader(["h"])
    for page in range(10):
        reader.read("".join(f'h{{a="{"x" * 4000}{page}",b="{i}"}} 1\n' for i in range(250)))
        assert sum(map(len, reader._cache)) < 2**22 + 5000


def test_a_line_whose_labels_are_too_long_is_counted_and_left_out() -> None:
    longest = MAX_LABELS_LENGTH - len('a=""')
    text = f'h{{a="{"x" * longest}"}} 1\nh{{a="{"x" * (longest + 1)}"}} 1\nh{{a="{"y" * 1_000_000}"}} 1\nh 2\n'
    reading = Reader(["h"]).read(text)
    assert reading.samples == {"h": {(("a", "x" * longest),): 1.0, (): 2.0}}
    assert reading.skipped == 2


def test_more_wanted_lines_than_any_honest_page_has_are_refused_readable_or_not() -> None:
    reader = Reader(["h"], max_series=3000)
    for line in ('h{{a="{}"}} 1\n', "h{{a={}}} 1\n", "h {}\n"):
        reader.read("".join(line.format(i) for i in range(3000)))
        with pytest.raises(TooManySeriesError, match="3000"):
            reader.read("".join(line.format(i) for i in range(6000)))
    assert len(reader.read("other 1\n" * 10_000 + "h 1\n").samples) == 1


def test_reading_can_be_given_up_between_slices_of_lines() -> None:
    slices = 0

    def patience() -> None:
        nonlocal slices
        slices += 1
        if slices == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        Reader(["h"]).read("other 1\n" * 1_000_000, patience)


def test_values_are_given_as_they_stand() -> None:
    samples = Reader(["h"]).read('h{a="1"} NaN\nh{a="2"} -Inf\nh{a="3"} -5\n').samples["h"]
    assert math.isnan(samples[("a", "1"),])
    assert [samples[("a", "2"),], samples[("a", "3"),]] == [-math.inf, -5]


def test_types_are_not_believed_so_they_cannot_contradict() -> None:
    text = "# TYPE h counter\n# TYPE h gauge\n# TYPE h nonsense\nh 1\n# TYPE h histogram\n# EOF\n"
    assert Reader(["h"]).read(text) == Reading({"h": {(): 1.0}}, 0)


def test_a_line_with_an_exemplar_is_not_of_this_format() -> None:
    text = 'h_bucket{le="1"} 5 # {trace_id="a"} 0.5\nh_bucket{le="2"} 6 # {} 1 1.5\nh_bucket{le="3"} 7\n'
    reading = Reader(["h_bucket"]).read(text)
    assert reading == Reading({"h_bucket": {(("le", "3"),): 7.0}}, 2)
