"""Families that the node exporter gives about itself."""

from enum import StrEnum

from exporters.catalog.family import Family, Kind


class Collector(StrEnum):
    """Collectors of the node exporter: the closed set of `collector` label values and of `--collectors`."""

    CPU = "cpu"
    LOAD = "load"
    MEMORY = "memory"
    PAGING = "paging"
    DISK = "disk"
    FILESYSTEM = "filesystem"
    NETWORK = "network"
    TCP = "tcp"
    PRESSURE = "pressure"
    DESCRIPTORS = "descriptors"
    NUMA = "numa"
    PROCESS = "process"
    GPU = "gpu"


_ALL = (
    Family(
        "optiinfra_scrape_collector_duration_seconds",
        Kind.GAUGE,
        "Time that a collector took in this scrape.",
        ("collector",),
    ),
    Family(
        "optiinfra_scrape_collector_success",
        Kind.GAUGE,
        "1 when a collector ran without an error, 0 otherwise. Nothing to report (no GPU, no PSI) is no error.",
        ("collector",),
    ),
    Family("optiinfra_exporter_demo", Kind.GAUGE, "1 when the GPUs of this page are synthetic (--demo), 0 otherwise."),
    Family("optiinfra_exporter_build_info", Kind.INFO, "Version of the exporter; always 1.", ("version", "python")),
)

PRODUCT_FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
