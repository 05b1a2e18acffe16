"""From evidence to the one bottleneck to act on, or to what is missing to tell.

`checks` builds three-valued comparisons, `discriminators` says which of them tell each bottleneck from its
look-alikes, `symptoms` explains latency and queues, `decide` puts them in order of precedence.
"""

from recommender.diagnosis.decide import CONFIDENCE_FLOOR, PRECEDENCE, diagnose

__all__ = ["CONFIDENCE_FLOOR", "PRECEDENCE", "diagnose"]
