"""The metric vocabulary: families that exporters give, and the closed sets that label them.

Pure data. Other packages import this module and nothing else of `exporters`
(the recommender may also use the exposition reader).
"""

from exporters.catalog.family import Family, Kind
from exporters.catalog.gpu import GPU_FAMILIES, ClockEventReason
from exporters.catalog.host import HOST_FAMILIES
from exporters.catalog.inference import INFERENCE_FAMILIES, SCRAPE_FAMILIES, Engine, ProbeFailure
from exporters.catalog.product import PRODUCT_FAMILIES, Collector

__all__ = [
    "GPU_FAMILIES",
    "HOST_FAMILIES",
    "INFERENCE_FAMILIES",
    "PRODUCT_FAMILIES",
    "SCRAPE_FAMILIES",
    "ClockEventReason",
    "Collector",
    "Engine",
    "Family",
    "Kind",
    "ProbeFailure",
]
