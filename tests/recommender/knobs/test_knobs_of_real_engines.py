"""The catalogues against what engines really have: names, defaults and choices as tests/data/knobs holds them."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from recommender.knobs import Knob, engines, load
from recommender.model import KnobValue

DATA = Path(__file__).parents[2] / "data" / "knobs"
CAPTURED = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in DATA.glob("*.json")}


class Case:
    """One entry of a catalogue in one captured version of its engine, which surely lies within its bounds."""

    def __init__(self, engine: str, version: str, knob: Knob) -> None:
        self.engine, self.version, self.knob = engine, version, knob

    def __repr__(self) -> str:
        return f"{self.engine} {self.version} {self.knob.name}"

    @cached_property
    def names(self) -> list[str]:
        """What the knob is called: by flag, variable, option of a request, key of a file."""
        told = (self.knob.flag, self.knob.env, self.knob.option, self.key(self.knob.config_key))
        return [name for name in told if name is not None]

    def key(self, key: str | None) -> str | None:
        """The name that was captured for a key of the engine's file."""
        if key is not None and self.engine == "triton":
            return key.rpartition(".")[2]
        return f"--{key}" if key is not None and self.engine in {"vllm", "sglang"} and "." not in key else key

    def fact(self, name: str) -> dict[str, Any] | None:
        """What this version tells of a name; None when it has no such name."""
        versions, spans = CAPTURED[self.engine]["versions"], CAPTURED[self.engine]["names"].get(name, ())
        here = versions.index(self.version)
        within = (span for span in spans if versions.index(span["since"]) <= here <= versions.index(span["until"]))
        return next(within, None)

    def facts(self, kind: str) -> list[Any]:
        """What is told under `kind` of any of the names, once each."""
        told = [fact[kind] for name in self.names if (fact := self.fact(name)) is not None and kind in fact]
        return [one for place, one in enumerate(told) if one not in told[:place]]


def _cases() -> Iterator[Case]:
    for engine, facts in sorted(CAPTURED.items()):
        for version in facts["versions"]:
            yield from (Case(engine, version, knob) for knob in load(engine).at(version).knobs)


CASES = list(_cases())


def test_every_knob_of_every_engine_was_held_against_a_version_of_it() -> None:
    assert {(case.engine, case.knob.name, case.knob.since) for case in CASES} == {
        (engine, knob.name, knob.since) for engine in engines() for knob in load(engine).knobs
    }


def test_every_name_that_a_person_is_told_is_one_that_the_engine_has() -> None:
    wrong = []
    for case in CASES:
        knob = case.knob
        told = {*case.names, *knob.also, *knob.also_flags, *map(case.key, knob.sets)}
        told |= {f"{call.method} {call.path}" for call in knob.live_calls}
        if case.version in CAPTURED[case.engine]["parsers"]:  # sources do not list the opposites of flags
            told |= {knob.flag_off, case.key(knob.negated_key)}
        wrong += [(case, name) for name in told if name is not None and case.fact(name) is None]
    assert wrong == []


def test_every_word_that_a_person_is_told_is_one_that_the_engine_takes() -> None:
    wrong = []
    for case in CASES:
        words = [word for word in case.knob.words if word != case.knob.unset]
        for choices in case.facts("choices"):
            wrong += [(case, word) for word in words if str(case.knob.to_engine(word)) not in map(str, choices)]
    assert wrong == []


def test_a_default_of_ours_is_the_one_that_the_engine_writes_down() -> None:
    """What it writes down as nothing, or as a word that it works out later, says nothing of ours."""
    wrong = []
    for case in CASES:
        ours: KnobValue | None = case.knob.default
        bare = [each.value for each in case.knob.defaults if each.when == type(each.when)()]
        ours = bare[0] if ours is None and bare else ours
        for written in case.facts("default"):
            theirs = case.knob.from_engine(written)
            if None not in {ours, theirs} and theirs != ours:
                wrong.append((case, written, ours))
    assert wrong == []
