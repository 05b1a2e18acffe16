"""From a change to the patches that a person may use."""

from dataclasses import dataclass

from recommender.errors import NotFound
from recommender.knobs import Knob, KnobCatalog, load
from recommender.model import Change, Patch
from recommender.patches import formats
from recommender.patches.assignment import assignment


@dataclass(frozen=True, slots=True)
class PatchContext:
    """Where a change is to be written. `catalog` None: that of the change's engine, of all versions."""

    service: str
    catalog: KnobCatalog | None = None


def render(change: Change, context: PatchContext) -> tuple[Patch, ...]:
    """`change` in every format that its engine has a way for, the engine's own file first; always the same order."""
    catalog = _catalog(change, context)
    knob = None if catalog is None else catalog.get(change.knob)
    setting = assignment(change, knob, None if catalog is None else catalog.by_config_key)
    found = [
        formats.engine_config(setting),
        formats.command_line(setting),
        formats.environment(setting),
        formats.helm_values(setting, context.service),
        formats.compose(setting, context.service),
        formats.request(setting),
        *(_live(knob, change) if knob is not None else ()),
    ]
    return tuple(patch for patch in found if patch is not None)


def _catalog(change: Change, context: PatchContext) -> KnobCatalog | None:
    try:
        return context.catalog or load(change.engine)
    except NotFound:
        return None


def _live(knob: Knob, change: Change) -> tuple[Patch, ...]:
    """The calls that set it in a running engine, to be sent to its own management address."""
    word = str(change.new).lower() if isinstance(change.new, bool) else str(change.new)
    return tuple(
        Patch(format="http", title=f"Management API of the engine: {call.text}", content=f"{call.method} {call.path}\n")
        for call in knob.live_calls
        if call.value == word
    )
