"""docs/reference/metrics.md lists what the exporter gives, as the catalogue has it."""

import os
from collections.abc import Iterable
from pathlib import Path

from exporters.catalog import (
    AGENT_FAMILIES,
    BLACKBOX_FAMILIES,
    BLACKBOX_PROBER_FAMILIES,
    GPU_FAMILIES,
    HOST_FAMILIES,
    INFERENCE_FAMILIES,
    PRODUCT_FAMILIES,
    SCRAPE_FAMILIES,
    Family,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
HEAD = """# Metrics of the exporter

Written from [the catalogue](../../exporters/catalog) by `tests/exporters/web/test_metrics_reference.py` (REGEN=1); do
not edit. Prometheus adds `job` and `instance`, service discovery `service` and `node`. Pages and flags:
[exporters](../exporters.md). `process_*` and `python_*` are those of prometheus_client.
"""
SECTIONS = {
    "GPUs (`/metrics`)": (GPU_FAMILIES,),
    "Host (`/metrics`)": (HOST_FAMILIES,),
    "Engines (`/probe`)": (INFERENCE_FAMILIES, SCRAPE_FAMILIES),
    "Completions (`/probe?module=`)": (BLACKBOX_FAMILIES,),
    "The exporter itself (`/metrics`)": (PRODUCT_FAMILIES, BLACKBOX_PROBER_FAMILIES, AGENT_FAMILIES),
}


def row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.help} |\n"


def section(title: str, families: Iterable[Family]) -> str:
    return f"\n## {title}\n\n| name | type | labels | meaning |\n| --- | --- | --- | --- |\n" + "".join(
        map(row, families)
    )


def document() -> str:
    tables = (
        section(title, (family for catalogue in catalogues for family in catalogue.values()))
        for title, catalogues in SECTIONS.items()
    )
    return HEAD + "".join(tables)


def test_the_reference_is_what_the_catalogue_says() -> None:
    if os.environ.get("REGEN"):
        DOCUMENT.write_text(document(), encoding="utf-8")

    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run this test with REGEN=1"
