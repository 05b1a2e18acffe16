"""Versions of engines as they tell them, and whether a version surely lies within bounds.

Engines count in two ways: releases (`0.32.0`, `0.5.23.post1`, `v3.3.7`, `0.20.0rc1`, `0.11.1rc2.dev64+g1234`) and
builds (`b11434`, as llama.cpp does). Releases are ordered as PEP 440 has it: a candidate comes before its release, what
comes after a `+` does not count. Everything else (`unknown`, `main`, a commit) is no version: nothing is sure of it.
"""

import re
from dataclasses import dataclass
from functools import total_ordering

_RELEASE = re.compile(
    r"""v?(?P<numbers>\d{1,9}(\.\d{1,9})*)
    (?:[-_.]?(?P<phase>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<phase_number>\d{0,9}))?
    (?:[-_.]?post[-_.]?(?P<post>\d{0,9}))?
    (?P<development>[-_.]?dev[-_.]?(?P<development_number>\d{0,9}))?
    (?:\+[a-z0-9._-]+)?""",
    re.VERBOSE | re.ASCII,
)
_BUILD = re.compile(r"b(?P<number>\d{1,9})(?:-[0-9a-f]{6,40})?", re.ASCII)
_PHASES = {"a": 1, "alpha": 1, "b": 2, "beta": 2, "c": 3, "rc": 3, "pre": 3, "preview": 3}
_ONLY_DEVELOPMENT, _FINAL = 0, 4  # around the phases
_NEVER = 10**9  # a release that is no development version comes after all of its development versions
_UNTAGGED = ((0, 1), (0,), ())  # trailing zeros cut: what build tools call a checkout without tags, 0.1.dev1+gabc


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version that can be compared with others of its kind."""

    kind: str  # "release" or "build"
    key: tuple[tuple[int, ...], ...]

    def __lt__(self, other: "Version") -> bool:
        """Raises TypeError for a build against a release."""
        if self.kind != other.kind:
            raise TypeError(f"a {self.kind} cannot be compared with a {other.kind}")
        return self.key < other.key


def parse(text: str | None) -> Version | None:
    """The version that `text` tells; None when it tells none."""
    word = (text or "").strip().lower()
    if build := _BUILD.fullmatch(word):
        return Version("build", ((int(build["number"]),),))
    release = _RELEASE.fullmatch(word)
    if release is None:
        return None
    numbers = tuple(int(number) for number in release["numbers"].split("."))
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    development = release["development"] is not None
    if development and numbers in _UNTAGGED:
        return None
    phase = _FINAL
    if release["phase"]:
        phase = _PHASES[release["phase"]]
    elif development and release["post"] is None:
        phase = _ONLY_DEVELOPMENT
    return Version(
        "release",
        (
            numbers,
            (phase, int(release["phase_number"] or 0)),
            (-1 if release["post"] is None else int(release["post"] or 0),),
            (int(release["development_number"] or 0) if development else _NEVER,),
        ),
    )


def surely_within(version: str | None, since: str | None, until: str | None) -> bool:
    """Whether `version` is known to be at least `since` and at most `until`; None as a bound bounds nothing.

    An unknown version, or one that counts otherwise than the bounds, is within no bound.
    """
    if since is None and until is None:
        return True
    told = parse(version)
    low, high = parse(since), parse(until)
    if told is None or any(bound is not None and bound.kind != told.kind for bound in (low, high)):
        return False
    return (low is None or low <= told) and (high is None or told <= high)


def surely_before(version: str | None, bound: str) -> bool:
    """Whether `version` is known to be older than `bound`, which has to be a version; of two kinds neither is."""
    told, end = parse(version), parse(bound)
    return told is not None and end is not None and told.kind == end.kind and told < end
