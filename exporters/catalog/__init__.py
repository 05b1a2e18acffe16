"""The metric vocabulary: families that exporters give, and the closed sets that label them.

Pure data. Other packages import this module and nothing else of `exporters`
(the recommender may also use the exposition reader).
"""

from exporters.catalog.family import Family, Kind
from exporters.catalog.inference import INFERENCE_FAMILIES, SCRAPE_FAMILIES, Engine, ProbeFailure

__all__ = ["INFERENCE_FAMILIES", "SCRAPE_FAMILIES", "Engine", "Family", "Kind", "ProbeFailure"]
