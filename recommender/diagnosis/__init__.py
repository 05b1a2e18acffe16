"""From evidence to the one bottleneck to act on, or to what is missing to tell.

`answer` and `checks` make three-valued comparisons; `discriminators` (with `fleet`, `capacity`, `hardware` and `hosts`)
says which of them tell each bottleneck from its look-alikes; `judge` how certain that makes it; `relations` and
`chains` what can follow from what; `decide` which is the root; `suspects` what a symptom without one could come from;
`missing` how to get what is not known; `text` shows it to a person. docs/diagnosis.md tells it whole.
"""

from recommender.diagnosis.decide import diagnose
from recommender.diagnosis.judge import CONFIDENCE_FLOOR
from recommender.diagnosis.relations import PRECEDENCE
from recommender.diagnosis.text import to_markdown, to_text

__all__ = ["CONFIDENCE_FLOOR", "PRECEDENCE", "diagnose", "to_markdown", "to_text"]
