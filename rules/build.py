"""Generates `rules/sources/*.yml`: the source signals, recorded from the prober's families or from an engine's own.

The prober's file renames canonical families; an engine's file applies its catalogue (`exporters/engines/*.yml`) in
PromQL, as `exporters/inference/mapping.py` applies it in Python. Both give the same series with the same labels.
"""

from pathlib import Path

from exporters.catalog import Engine, load_engine
from rules.generate.direct import direct_groups
from rules.generate.document import HEADER, document
from rules.generate.jobs import of_own_jobs
from rules.generate.probed import probed_groups

SOURCES_DIR = Path(__file__).parent / "sources"

__all__ = ["HEADER", "SOURCES_DIR", "source_files"]


def source_files() -> dict[str, str]:
    """Every generated file: name -> text. An engine without an exposition has none."""
    files = {"optiinfra.yml": document("optiinfra", probed_groups())}
    for catalogue in of_own_jobs([load_engine(engine) for engine in Engine]):
        if catalogue.families:
            name = catalogue.engine.value
            files[f"{name}.yml"] = document(name, direct_groups(catalogue))
    return files
