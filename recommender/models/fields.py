"""Typed reading of a model's `config.json`: a file that somebody else wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_MOST = 10**12  # no count of a model is near it: a larger one is a mistake


class ConfigProblem(ValueError):
    """Why a configuration cannot be read; the text is for people."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Entries of a configuration; what it leaves out is what its architecture's class has by default."""

    entries: Mapping[str, object]
    defaults: Mapping[str, object] = field(default_factory=dict)

    def get(self, name: str) -> object:
        """The entry, even where it is null; failing that its default; None when there is neither."""
        return self.entries[name] if name in self.entries else self.defaults.get(name)

    def whole(self, name: str) -> int:
        """A count; ConfigProblem when it is missing or no count."""
        value = self.optional_whole(name)
        if value is None:
            raise ConfigProblem(f"it has no {name}")
        return value

    def optional_whole(self, name: str) -> int | None:
        """A count, or None when it is missing; ConfigProblem when it is no count."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            raise ConfigProblem(f"its {name} is no count")
        return value

    def flag(self, name: str) -> bool:
        """A switch; off when it is missing."""
        return self.get(name) is True

    def text(self, name: str) -> str | None:
        """A word, or None."""
        value = self.get(name)
        return value if isinstance(value, str) else None

    def section(self, name: str) -> Mapping[str, object] | None:
        """A nested mapping, or None."""
        value = self.get(name)
        return {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else None

    def words(self, name: str) -> tuple[str, ...] | None:
        """A list of words, or None; ConfigProblem when it holds something else."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(w, str) for w in value):
            raise ConfigProblem(f"its {name} is no list of words")
        return tuple(str(word) for word in value)
