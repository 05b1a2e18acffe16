"""What an engine took for the knobs that its configuration file does not name, and why that is known or not.

A default counts only where nothing is left open: the file was read whole, the inventory promises that nothing else sets
options (`config_complete`), the engine's version is known and no newer than what the catalogue was read in, and the
catalogue says which default holds on this device and beside these settings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from exporters.catalog import Engine, load_engine
from recommender.contracts import Configuration
from recommender.knobs.catalog import KnobCatalog
from recommender.knobs.conditions import Default
from recommender.knobs.knob import Knob
from recommender.model import KnobValue

DEFAULT_OF = "default of"  # how the source of a default begins
COMPLETE, VERSION, GPU, MODEL_LENGTH = (
    "replicas[].config_complete",
    "engine_version",
    "hardware.gpu",
    "settings.max_model_length_tokens",
)


@dataclass(frozen=True, slots=True)
class Derived:
    """A default that is known to run, and its source in words."""

    value: KnobValue
    source: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why the default of a knob does not count. `key` is what of the service's inventory would settle it, if any."""

    text: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Of one replica, by knob: `values` that are known, `doubts` of the others that its file does not name.

    `unread` are knobs that the file names with a value that is not understood: nothing is known of them.
    """

    values: Mapping[str, Derived] = field(default_factory=dict)
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()

    def refuted(self, by: str) -> "Defaults":
        """The same when something is seen that cannot be beside these defaults: then none of them counts."""
        text = f"{by}: so something else than its file sets options, and no default counts"
        return Defaults(doubts={**self.doubts, **dict.fromkeys(self.values, Doubt(text))}, unread=self.unread)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a replica runs. `knobs` are those of the engine's version; None is unknown.

    `known` are values of knobs that its file does not name and something else tells, by neutral name.
    """

    knobs: KnobCatalog
    version: str | None
    memory_bytes: float | None = None
    gpu_name: str | None = None
    known: Mapping[str, KnobValue] = field(default_factory=dict)


def defaults_of(file: Configuration | None, where: Setting) -> Defaults:
    """The defaults that run on a replica with this configuration file."""
    if file is None:
        return Defaults()
    knobs = where.knobs
    named = {knob.name for knob in knobs.knobs if _names(knob, file)}
    unread = frozenset(named - knobs.neutral(file.values).keys())
    values: dict[str, Derived] = {}
    doubts: dict[str, Doubt] = {}
    for knob in _dependants_last(knobs):
        if knob.name in named or (knob.env if file.variables else knob.config_key) is None:
            continue
        beside = {**{name: each.value for name, each in values.items()}, **where.known, **knobs.neutral(file.values)}
        found = _default(knob, _Around(file, where, beside, unread))
        if isinstance(found, Doubt):
            doubts[knob.name] = found
        else:
            values[knob.name] = Derived(found, _source(knob, file, where))
    return Defaults(values, doubts, unread)


@dataclass(frozen=True, slots=True)
class _Around:
    """What a default hangs on. `beside` are the other settings that are known."""

    file: Configuration
    where: Setting
    beside: Mapping[str, KnobValue]
    unread: frozenset[str]


def _default(knob: Knob, around: _Around) -> KnobValue | Doubt:
    file, where = around.file, around.where
    if not file.complete:
        return Doubt(f"its default counts where {file.file} is all that the engine is started with", COMPLETE)
    if where.version is None:
        return Doubt("its default depends on the engine's version, which is unknown", VERSION)
    if not where.knobs.reads(where.version):
        return Doubt(f"its default in {_title(where.knobs)} {where.version} is not established")
    held = knob.default_that_holds(memory_bytes=where.memory_bytes, gpu_name=where.gpu_name)
    if held is None and knob.defaults:
        return Doubt("its default depends on the GPU, which is unknown", GPU)
    if held is None or held.value is None or held.usual:
        return Doubt("the engine chooses it by itself when it is not set")
    return _beside(knob, held, held.value, around)


def _beside(knob: Knob, held: Default, value: KnobValue, around: _Around) -> KnobValue | Doubt:
    """The default, if the engine surely takes it beside the other settings."""
    file, beside = around.file, around.beside
    if other := next((key for key in held.unless if _holds(file, key)), ""):
        return Doubt(f"its default is another one beside {other}")
    asked = {each.knob for each in knob.conflicts} | set(held.at_most_product_of)
    if doubtful := sorted(asked & around.unread):
        return Doubt(f"its default depends on {doubtful[0]}, whose value in {file.file} is not understood")
    if around.where.knobs.conflicts(knob.name, value, beside):
        return Doubt("the engine lowers its default to fit its other settings")
    factors = [beside.get(name) for name in held.at_most_product_of]
    if None in factors:
        missing = held.at_most_product_of[factors.index(None)]
        return Doubt(f"its default depends on {missing}, which is unknown", f"settings.{missing}")
    if factors and isinstance(value, int) and prod(float(each) for each in factors if each is not None) < value:
        return Doubt("the engine lowers its default to fit its other settings")
    return value


def _dependants_last(knobs: KnobCatalog) -> Iterator[Knob]:
    """Knobs whose default hangs on another's product come after it."""
    later = [knob for knob in knobs.knobs if any(each.at_most_product_of for each in knob.defaults)]
    yield from (knob for knob in knobs.knobs if knob not in later)
    yield from later


def _names(knob: Knob, file: Configuration) -> bool:
    """Whether the file sets the knob, under any name, or something around it that may hold it."""
    for name in knob.names:
        parts = name.split(".")
        if _holds(file, name) or any(".".join(parts[:depth]) in file.keys for depth in range(1, len(parts))):
            return True
    return False


def _holds(file: Configuration, key: str) -> bool:
    return key in file.keys or any(each.startswith(f"{key}.") for each in file.keys)


def _source(knob: Knob, file: Configuration, where: Setting) -> str:
    key = knob.env if file.variables else knob.config_key
    read = knob.source.partition(";")[0]
    return f"{DEFAULT_OF} {_title(where.knobs)} {where.version} ({read}), no {key} in {file.file}"


def _title(knobs: KnobCatalog) -> str:
    return load_engine(Engine(knobs.engine)).title
