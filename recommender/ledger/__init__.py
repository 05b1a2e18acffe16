"""Effect ledger: what changes did at this site, against what was promised, and what that says of the next one.

`model` holds the words, `record` reads a finished workflow, `shrink` corrects an expectation. All pure; the rows are
`recommender.store.effect_rows`.
"""

from recommender.ledger.model import Effect, LedgerConfig, SiteResult
from recommender.ledger.shrink import SiteEffects

__all__ = ["Effect", "LedgerConfig", "SiteEffects", "SiteResult"]
