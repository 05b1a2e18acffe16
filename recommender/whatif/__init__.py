"""What if a knob had another value: predictions before and after, beside what is measured now.

`what_if` is pure: it takes evidence, what the inventory and the engine tell (`PlanContext`) and a fitted step, and
changes nothing anywhere.
"""

from recommender.whatif.compare import what_if
from recommender.whatif.model import Input, LoadWish, Metric, Setting, WhatIf, Wish

__all__ = ["Input", "LoadWish", "Metric", "Setting", "WhatIf", "Wish", "what_if"]
