"""Engine knobs as data: `<engine>.yml` beside this file says what each is called, may be, and risks.

`load` reads a catalogue; nothing here talks to an engine.
"""

from recommender.knobs.catalog import Knob, KnobCatalog, load

__all__ = ["Knob", "KnobCatalog", "load"]
