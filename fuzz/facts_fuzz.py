"""Fuzzes what reads the JSON pages of engines: ValueError, or facts, never another error. Run by `fuzz`."""

import sys

import atheris

with atheris.instrument_imports(include=["exporters.inference.json_page", "exporters.inference.models"]):
    from exporters.catalog import Engine, load_engine
    from exporters.inference import json_page, models

CATALOGUES = [load_engine(engine) for engine in Engine]
PATHS = ("", "version", "models.*.name", "data.0.max_model_len", "internal_states.0.x", "models.*.expires_at")


def one_input(data: bytes) -> None:
    """Raises where something is wrong."""
    try:
        page = json_page.parse(data)
    except ValueError:
        return
    for path in PATHS:
        json_page.number(page, path)
        json_page.epoch_seconds(page, path)
    for catalogue in CATALOGUES:
        for fact_page in catalogue.pages:
            for pointers in fact_page.texts.values():
                json_page.labels(page, pointers)
        if catalogue.models is not None:
            loaded = models.read(catalogue.models, page)
            if loaded is not None:
                list(models.families(catalogue, catalogue.models, loaded))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
