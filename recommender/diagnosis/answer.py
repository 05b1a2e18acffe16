"""What a comparison gave, what it counts for, and several of them together: three-valued, words on demand.

Of a fleet most answers are never shown, so their words are found when they are asked for.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol

from recommender.diagnosis.words import Words
from recommender.model import Check, CheckWeight, Reading


class Readings(Protocol):
    """Where an answer's readings come from: `checks.Scope`."""

    def reading(self, signal: str) -> Reading:
        """The reading of a signal; with value None when it is absent."""
        ...

    def value(self, signal: str) -> float | None:
        """The value of a signal."""
        ...


class Answer(NamedTuple):
    """What one comparison gave. `signals` are those that it read, all in one scope."""

    agrees: bool | None
    words: Words
    scope: Readings
    signals: tuple[str, ...]
    threshold: str | None = None
    limit: float | None = None

    @property
    def text(self) -> str:
        """In words: "mean KV usage 1.64 %, below 75 %"."""
        return self.words.say()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What was compared; a reading without a value where it is absent."""
        return tuple(self.scope.reading(signal) for signal in self.signals)

    def check(self, weight: CheckWeight = CheckWeight.EXPECTED, otherwise: str = "") -> Check:
        """The answer as a finding keeps it."""
        return Check(
            text=self.text,
            agrees=self.agrees,
            readings=self.readings,
            threshold=self.threshold,
            threshold_value=self.limit,
            weight=weight,
            otherwise=otherwise,
        )


class Discriminator(NamedTuple):
    """An answer, what it counts for, and what it is when it disagrees."""

    answer: Answer
    weight: CheckWeight
    otherwise: str = ""

    def check(self) -> Check:
        """As a finding keeps it."""
        return self.answer.check(self.weight, self.otherwise)


def defining(answer: Answer, otherwise: str = "") -> Discriminator:
    """The class is this: that it disagrees shows a look-alike."""
    return Discriminator(answer, CheckWeight.DEFINING, otherwise)


def expected(answer: Answer, otherwise: str = "") -> Discriminator:
    """The class shows this, as a rule; that it is unknown makes the class less certain."""
    return Discriminator(answer, CheckWeight.EXPECTED, otherwise)


def hint(answer: Answer, otherwise: str = "") -> Discriminator:
    """It counts where it is known, and many sites do not know it."""
    return Discriminator(answer, CheckWeight.HINT, otherwise)


def harm(answer: Answer, otherwise: str = "") -> Discriminator:
    """What the class slows down is slow; where it is not, the class holds and explains nothing."""
    return Discriminator(answer, CheckWeight.HARM, otherwise)


def any_of(*answers: Answer) -> Answer:
    """At least one agrees; unknown when none does and one is unknown."""
    agrees = kleene_or([one.agrees for one in answers])
    if agrees:
        shown = tuple(one for one in answers if one.agrees)
        return _joined(shown, answers, agrees=agrees, words=(" and ", " or "))
    return _joined(answers, answers, agrees=agrees, words=(" or ", " or "))


def all_of(*answers: Answer) -> Answer:
    """All agree; unknown when none disagrees and one is unknown."""
    inverse = kleene_or([None if one.agrees is None else not one.agrees for one in answers])
    return _joined(answers, answers, agrees=None if inverse is None else not inverse, words=(" and ", " and "))


def kleene_or(values: Collection[bool | None]) -> bool | None:
    """Three-valued or."""
    return True if True in values else None if None in values else False


def _joined(
    shown: tuple[Answer, ...], answers: tuple[Answer, ...], *, agrees: bool | None, words: tuple[str, str]
) -> Answer:
    """One answer of several; `words` stand between what is said, and between what is asked."""
    one: Answer | None = shown[0] if len(shown) == 1 else None
    if one is None and agrees is None:  # several figures have no one threshold; one that is missing is to be known
        one = next((each for each in answers if each.threshold is not None and each.limit is None), None)
    return Answer(
        agrees,
        _Joined(shown, answers, words),
        answers[0].scope,
        tuple(signal for each in answers for signal in each.signals),
        None if one is None else one.threshold,
        None if one is None else one.limit,
    )


class _Joined(NamedTuple):
    """`between` stands between what is said of those that are shown, and between what is asked of all."""

    shown: tuple[Answer, ...]
    answers: tuple[Answer, ...]
    between: tuple[str, str]

    def say(self) -> str:
        return self.between[0].join(dict.fromkeys(each.text for each in self.shown))

    def ask(self) -> str:
        return f"({self.between[1].join(each.words.ask() for each in self.answers)})"
