"""Facts are taken out of foreign JSON by path; what is not as expected is unknown."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.catalog import TextPointer
from exporters.inference import json_page

PAGE = {"a": [{"b": 1.5, "c": "x"}, {"b": 2}], "n": 10**400, "t": True, "s": "7", "": {"0": 3}}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(("path", "number"), [("a.0.b", 1.5), ("a.1.b", 2.0), ("a.*.b", 1.5)])
def test_a_number_is_found_by_keys_and_indexes(path: str, number: float) -> None:
    assert json_page.number(PAGE, path) == number


@pytest.mark.parametrize("path", ["", "a", "a.2.b", "a.-1.b", "a.x.b", "a.0.b.c", "n", "t", "s", "missing", "a.0.c"])
def test_anything_else_is_no_number(path: str) -> None:
    assert json_page.number(PAGE, path) is None


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_not_finite_is_no_number(text: str) -> None:
    assert json_page.number(json_page.parse(f'{{"x": {text}}}'.encode()), "x") is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-06-04T14:38:31.83753-07:00", datetime(2024, 6, 4, 21, 38, 31, 837530, UTC)),
        ("2024-06-04T14:38:31.837530123Z", datetime(2024, 6, 4, 14, 38, 31, 837530, UTC)),
        ("2024-06-04t14:38:31z", datetime(2024, 6, 4, 14, 38, 31, 0, UTC)),
        ("2024-06-04 14:38:31+05:30", datetime(2024, 6, 4, 9, 8, 31, 0, UTC)),
        ("2318-09-22T23:59:59Z", datetime(2318, 9, 22, 23, 59, 59, 0, UTC)),
    ],
)
def test_a_time_is_read_with_its_fraction_and_its_zone(text: str, moment: datetime) -> None:
    assert json_page.epoch_seconds({"at": text}, "at") == pytest.approx(moment.timestamp(), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00Z", "2024-06-04", "2024-06-04T14:38:31", "2024-13-04T14:38:31Z", "2024-06-04T14:38:61Z",
     "20240604T143831Z", "2024-W23-2", "", "now", "9999-12-31T23:59:59-23:59", "2024-06-04T14:38:31.1234567890Z",
     "٢٠٢٤-06-04T14:38:31Z"],
)  # fmt: skip
def test_anything_else_is_no_time(text: str) -> None:
    assert json_page.epoch_seconds({"at": text}, "at") is None


@given(st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - hypothesis adds the zone
def test_a_time_is_the_one_that_was_written_whatever_its_zone(moment: datetime, minutes: int) -> None:
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    local = moment.timestamp() + minutes * 60
    if not 0 <= local < datetime(9999, 12, 31, tzinfo=UTC).timestamp():
        return
    text = datetime.fromtimestamp(local, UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + offset
    assert json_page.epoch_seconds({"at": text}, "at") == pytest.approx(int(moment.timestamp()), abs=1.0)


@given(values, st.text(alphabet="ab.*01", max_size=8))
def test_nothing_that_a_page_may_be_is_an_error(value: object, path: str) -> None:
    page = json_page.parse(json.dumps(value).encode())
    json_page.number(page, path)
    json_page.epoch_seconds(page, path)
    for text in json_page.texts(page, TextPointer(path)):
        assert text
        assert text.isprintable()
        assert len(text) <= json_page.MAX_TEXT_LENGTH


def test_a_page_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested"):
        json_page.parse(b"[" * 500_000)
