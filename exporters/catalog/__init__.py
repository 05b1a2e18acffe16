"""The metric vocabulary: families that exporters give, and the closed sets that label them.

Pure data. Other packages import this module and nothing else of `exporters`
(the recommender may also use the exposition reader).
"""

from exporters.catalog.engines import (
    FRACTION_DIGITS,
    INTEGER_DIGITS,
    NUMBER_PATTERN,
    CatalogueError,
    EngineCatalogue,
    FamilyMapping,
    NumberFact,
    Reduce,
    Source,
    TextFact,
    load_engine,
    plain_number,
    spellings,
)
from exporters.catalog.family import Family, Kind
from exporters.catalog.gpu import GPU_FAMILIES, ClockEventReason
from exporters.catalog.host import HOST_FAMILIES
from exporters.catalog.inference import INFERENCE_FAMILIES, SCRAPE_FAMILIES, Engine, ProbeFailure
from exporters.catalog.product import PRODUCT_FAMILIES, Collector

__all__ = [
    "FRACTION_DIGITS",
    "GPU_FAMILIES",
    "HOST_FAMILIES",
    "INFERENCE_FAMILIES",
    "INTEGER_DIGITS",
    "NUMBER_PATTERN",
    "PRODUCT_FAMILIES",
    "SCRAPE_FAMILIES",
    "CatalogueError",
    "ClockEventReason",
    "Collector",
    "Engine",
    "EngineCatalogue",
    "Family",
    "FamilyMapping",
    "Kind",
    "NumberFact",
    "ProbeFailure",
    "Reduce",
    "Source",
    "TextFact",
    "load_engine",
    "plain_number",
    "spellings",
]
