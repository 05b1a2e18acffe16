"""Engine knobs as data: `<engine>.yml` beside this file says what each is called, may be, and risks.

`load` reads a catalogue, `KnobCatalog.at` narrows it to a version; nothing here talks to an engine.
"""

from recommender.knobs.catalog import KnobCatalog, engines, load
from recommender.knobs.knob import Knob, KnobType

__all__ = ["Knob", "KnobCatalog", "KnobType", "engines", "load"]
