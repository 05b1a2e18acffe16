"""Samples are checked against the catalogue before they are exposed."""

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from exporters.catalog import Family, Kind
from exporters.errors import CatalogError
from exporters.families import FamilySet

CATALOG = {
    family.name: family
    for family in (
        Family("t_size_bytes", Kind.GAUGE, "Size.", ("device", "fstype")),
        Family("t_reads_total", Kind.COUNTER, "Reads."),
        Family("t_build_info", Kind.INFO, "Build.", ("version",)),
    )
}


@pytest.fixture(name="families")
def _families() -> FamilySet:
    return FamilySet(CATALOG)


def test_each_kind_is_exposed_under_its_catalogued_name(families: FamilySet) -> None:
    families.info("t_build_info", "1.2")
    families.add("t_reads_total", 3)
    families.add("t_size_bytes", 4.5, "sda", "xfs")

    class Collector:
        def collect(self) -> list[object]:
            return list(families.metrics())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())  # type: ignore[arg-type]  # a stand-in of one method

    assert generate_latest(registry).decode().splitlines() == [
        "# HELP t_size_bytes Size.",
        "# TYPE t_size_bytes gauge",
        't_size_bytes{device="sda",fstype="xfs"} 4.5',
        "# HELP t_reads_total Reads.",
        "# TYPE t_reads_total counter",
        "t_reads_total 3.0",
        "# HELP t_build_info Build.",
        "# TYPE t_build_info gauge",
        't_build_info{version="1.2"} 1.0',
    ]


@pytest.mark.parametrize("labels", [(), ("sda",), ("sda", "xfs", "more")])
def test_a_wrong_number_of_labels_is_refused_instead_of_being_zipped_away(
    families: FamilySet, labels: tuple[str, ...]
) -> None:
    with pytest.raises(CatalogError, match="t_size_bytes takes the labels"):
        families.add("t_size_bytes", 1, *labels)


def test_a_family_that_is_not_catalogued_is_refused(families: FamilySet) -> None:
    with pytest.raises(CatalogError, match="t_other is not in the catalogue"):
        families.add("t_other", 1)


def test_the_same_labels_twice_are_refused(families: FamilySet) -> None:
    families.add("t_reads_total", 1)

    with pytest.raises(CatalogError, match="given twice"):
        families.add("t_reads_total", 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(families: FamilySet, value: float) -> None:
    with pytest.raises(CatalogError, match="must be left out"):
        families.add("t_reads_total", value)


def test_an_unknown_value_leaves_no_sample_and_no_family(families: FamilySet) -> None:
    families.add("t_reads_total", None)

    assert families.metrics() == []


def test_a_confirmed_zero_is_a_sample(families: FamilySet) -> None:
    families.add("t_reads_total", 0)

    assert [sample.value for metric in families.metrics() for sample in metric.samples] == [0.0]
