"""The metric vocabulary: families that exporters give, and the closed sets that label them.

Pure data. Other packages import this module and nothing else of `exporters`
(the recommender may also use the exposition reader).
"""

from exporters.catalog.agent import AGENT_FAMILIES, AgentOutcome
from exporters.catalog.blackbox import (
    BLACKBOX_FAMILIES,
    BLACKBOX_PROBER_FAMILIES,
    BlackboxFailure,
    BlackboxPhase,
)
from exporters.catalog.engine_schema import (
    METRICS_PATH,
    EngineCatalogue,
    FactPage,
    FamilyMapping,
    ModelList,
    NumberFact,
    Reduce,
    Source,
    Term,
    TextFact,
    TextPointer,
)
from exporters.catalog.engines import (
    FRACTION_DIGITS,
    INTEGER_DIGITS,
    MILLI,
    NUMBER_PATTERN,
    PLAIN_TEXT,
    CatalogueError,
    load_engine,
    own_labels,
    plain_number,
    spelled,
    spellings,
)
from exporters.catalog.family import Family, Kind
from exporters.catalog.gpu import GPU_FAMILIES, ClockEventReason
from exporters.catalog.host import HOST_FAMILIES
from exporters.catalog.inference import COMPANIONS, INFERENCE_FAMILIES, SCRAPE_FAMILIES, Engine, ProbeFailure
from exporters.catalog.product import PRODUCT_FAMILIES, Collector

__all__ = [
    "AGENT_FAMILIES",
    "BLACKBOX_FAMILIES",
    "BLACKBOX_PROBER_FAMILIES",
    "COMPANIONS",
    "FRACTION_DIGITS",
    "GPU_FAMILIES",
    "HOST_FAMILIES",
    "INFERENCE_FAMILIES",
    "INTEGER_DIGITS",
    "METRICS_PATH",
    "MILLI",
    "NUMBER_PATTERN",
    "PLAIN_TEXT",
    "PRODUCT_FAMILIES",
    "SCRAPE_FAMILIES",
    "AgentOutcome",
    "BlackboxFailure",
    "BlackboxPhase",
    "CatalogueError",
    "ClockEventReason",
    "Collector",
    "Engine",
    "EngineCatalogue",
    "FactPage",
    "Family",
    "FamilyMapping",
    "Kind",
    "ModelList",
    "NumberFact",
    "ProbeFailure",
    "Reduce",
    "Source",
    "Term",
    "TextFact",
    "TextPointer",
    "load_engine",
    "own_labels",
    "plain_number",
    "spelled",
    "spellings",
]
