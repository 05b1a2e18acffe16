"""The knobs of one engine, as a catalogue that can be narrowed to a version, and its loader."""

from collections.abc import Mapping
from functools import cache
from importlib import resources

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from recommender.errors import ConfigError, NotFound
from recommender.knobs.conditions import check_version
from recommender.knobs.knob import Knob, KnobType
from recommender.knobs.version import surely_before, surely_within
from recommender.model import Apply, KnobValue, Model

__all__ = ["Knob", "KnobCatalog", "KnobType", "engines", "load"]


class KnobCatalog(Model):
    """The knobs of one engine, by neutral name and by what its configuration calls them.

    A name may be listed more than once for versions that do not overlap; `get` of the whole catalogue then gives the
    first, which is the newest.
    """

    engine: str
    versions: str = ""  # what the facts were read from
    read_before: str | None = None  # the first version of which nothing was read: no default is sure from there on
    costs: Mapping[Apply, str] = Field(default_factory=dict)  # what making a value act costs
    knobs: tuple[Knob, ...]

    @model_validator(mode="after")
    def _unique(self) -> "KnobCatalog":
        unbounded = [knob.name for knob in self.knobs if knob.since is None and knob.until is None]
        twice = [name for name in unbounded if [knob.name for knob in self.knobs].count(name) > 1]
        keys = [key for knob in self.knobs for key in {*knob.aliases, *_given(knob.config_key, knob.env, knob.option)}]
        if twice or len(set(keys)) != len(keys):
            raise ValueError(f"engine {self.engine}: a knob or a config key is listed twice")
        return self

    def get(self, name: str) -> Knob | None:
        """The knob of this neutral name, or None when the engine has none."""
        return next((knob for knob in self.knobs if knob.name == name), None)

    _bound = field_validator("read_before")(check_version)

    def reads(self, version: str | None) -> bool:
        """Whether `version` is known, and none that came after what the catalogue was read in."""
        return self.read_before is not None and surely_before(version, self.read_before)

    def at(self, version: str | None) -> "KnobCatalog":
        """The knobs that `version` surely knows, with the defaults that surely hold there.

        An unknown version leaves only knobs and defaults without bounds.
        """
        knobs = tuple(_at(knob, version) for knob in self.knobs if surely_within(version, knob.since, knob.until))
        return self.model_copy(update={"knobs": knobs})

    @property
    def by_config_key(self) -> Mapping[str, Knob]:
        """Config key, or variable of an environment file -> knob."""
        return {
            key: knob for knob in self.knobs for key in (*_given(knob.config_key, knob.env, knob.option), *knob.aliases)
        }

    def neutral(self, settings: Mapping[str, KnobValue]) -> dict[str, KnobValue]:
        """Settings by config key -> neutral values by neutral name; unknown keys and illegal values are left out."""
        known = self.by_config_key
        negated = {knob.negated_key: knob for knob in self.knobs if knob.negated_key is not None}
        found: dict[str, KnobValue] = {}
        for key, value in settings.items():
            opposite = negated.get(key)
            if knob := opposite or known.get(key):
                parsed = knob.from_engine(value)
                if parsed is not None:
                    found[knob.name] = not parsed if opposite is not None else parsed
        return found

    def conflicts(self, name: str, value: KnobValue, settings: Mapping[str, KnobValue]) -> tuple[str, ...]:
        """Why knob `name` cannot be `value` beside `settings` (neutral); empty when nothing known speaks against it."""
        knob = self.get(name)
        if knob is None:
            return ()
        return tuple(each.text for each in knob.conflicts if each.broken(value, settings))

    def cost(self, knob: Knob) -> str:
        """What making a new value of `knob` act costs, in words."""
        return self.costs.get(knob.apply, "")


def engines() -> tuple[str, ...]:
    """The engines that have a catalogue, sorted."""
    files = resources.files("recommender.knobs").iterdir()
    return tuple(sorted(file.name.removesuffix(".yml") for file in files if file.name.endswith(".yml")))


@cache
def load(engine: str) -> KnobCatalog:
    """The catalogue of `engine`, of all versions.

    Raises NotFound when there is none, ConfigError when the file is wrong.
    """
    source = resources.files("recommender.knobs").joinpath(f"{engine}.yml")
    if not engine.isidentifier() or not source.is_file():
        raise NotFound(f"no knob catalogue for engine '{engine}': its services get advice, not changes")
    try:
        return KnobCatalog.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as exc:
        raise ConfigError(f"knob catalogue {engine}.yml is wrong: {exc}") from exc


def _at(knob: Knob, version: str | None) -> Knob:
    defaults = [each for each in knob.defaults if surely_within(version, each.since, each.until)]
    later = {word for word, since in knob.values_since.items() if not surely_within(version, since, None)}
    return knob.model_copy(
        update={
            "defaults": tuple(each.model_copy(update={"since": None, "until": None}) for each in defaults),
            "choices": tuple(word for word in knob.choices if word not in later),
            "requires": tuple(
                each.model_copy(update={"values": tuple(word for word in each.values if word not in later)})
                for each in knob.requires
                if not each.values or set(each.values) - later
            ),
        }
    )


def _given(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))
