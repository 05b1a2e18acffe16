"""Our pages are, byte for byte, those of prometheus_client's encoders."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest as text_page
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_page

from exporters.catalog import Family, Kind
from exporters.families import FamilySet
from exporters.page import PageWriter

CATALOG = {
    family.name: family
    for family in (
        Family("t_size_bytes", Kind.GAUGE, 'A \\ size "in"\nbytes.', ("mountpoint", "device")),
        Family("t_reads_total", Kind.COUNTER, "Reads.", ("device",)),
        Family("t_load", Kind.GAUGE, "Load."),
        Family("t_build_info", Kind.INFO, "Build.", ("version",)),
    )
}
LABEL = st.text(st.characters(codec="utf-8"), max_size=8)
VALUE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)


@st.composite
def family_sets(draw: st.DrawFn) -> FamilySet:
    out = FamilySet(CATALOG)
    for family in CATALOG.values():
        labels = st.tuples(*[LABEL] * len(family.labels))
        for values in draw(st.sets(labels, max_size=3)):
            out.add(family.name, 1 if family.kind is Kind.INFO else draw(VALUE), *values)
    return out


class Page:
    """One page's sets as the collector that prometheus_client takes."""

    def __init__(self, sets: list[FamilySet]) -> None:
        self.sets = sets

    def collect(self) -> list[Metric]:
        return [metric for one in self.sets for metric in one.metrics()]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.lists(family_sets(), max_size=3))
def test_both_formats_are_those_of_prometheus_client_whatever_was_written_before(pages: list[FamilySet]) -> None:
    writer = PageWriter()
    for one in pages:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Page([one]))
        openmetrics = openmetrics_page(registry)  # type: ignore[no-untyped-call]  # the library's has no types

        assert writer.write([one], openmetrics=False) == text_page(registry)
        assert writer.write([one], openmetrics=True) + b"# EOF\n" == openmetrics


def test_series_that_come_and_go_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.page._MAX_REMEMBERED", 10)
    writer = PageWriter()
    for number in range(100):
        out = FamilySet(CATALOG)
        out.add("t_reads_total", number, f"disk{number}")
        page = writer.write([out], openmetrics=False)
        assert page.endswith(f't_reads_total{{device="disk{number}"}} {float(number)}\n'.encode())
        assert sum(len(known.series) for known in writer._families.values()) <= 10


def test_a_label_that_cannot_be_encoded_spoils_itself_and_not_the_page() -> None:
    out = FamilySet(CATALOG)
    out.add("t_reads_total", 1, "caf\udce9")
    out.add("t_load", math.pi)

    assert b'device="caf?"} 1.0\n' in PageWriter().write([out], openmetrics=False)


@pytest.mark.parametrize(("first", "then"), [(1.0, 2.0), (0.0, -0.0), (-0.0, 0.0), (5.0, 5)])
def test_a_value_is_written_as_it_is_now(first: float, then: float) -> None:
    writer = PageWriter()
    for value in (first, then, then):
        out = FamilySet(CATALOG)
        out.add("t_load", value)
        page = writer.write([out], openmetrics=False)

    assert page.endswith(f"t_load {float(then)}\n".encode())
