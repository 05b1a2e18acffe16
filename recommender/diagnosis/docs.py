"""Tables of `docs/diagnosis.md`, from the code that decides: `python -m recommender.diagnosis.docs` writes them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from recommender.diagnosis.answer import Discriminator
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.discriminators import DISCRIMINATORS
from recommender.diagnosis.relations import DOES, PRECEDENCE
from recommender.diagnosis.symptoms import TITLES
from recommender.model import CheckWeight, Evidence
from rules.catalog import ALERTS, Bottleneck

PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"
_BEGIN, _END = "<!-- discriminators -->", "<!-- /discriminators -->"
_WEIGHTS = {
    CheckWeight.DEFINING: "defining",
    CheckWeight.EXPECTED: "expected",
    CheckWeight.HINT: "hint",
    CheckWeight.HARM: "harm",
}


def write(page: Path = PAGE) -> None:
    """Put the tables into the page, between their marks."""
    page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")


def rendered(text: str) -> str:
    """`text` with the tables as the code has them."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{''.join(tables())}{_END}{after}"


def tables() -> Iterator[str]:
    """One section a class, in order of precedence."""
    # Objectives of a length promise are asked for only where a service has one.
    nothing = Evidence(service="", at=datetime(2026, 1, 1, tzinfo=UTC), objectives={"request_duration_p95_seconds": 1})
    for bottleneck in PRECEDENCE:
        yield f"\n### `{bottleneck}`: {TITLES[bottleneck]}\n\n{_head(bottleneck)}\n\n"
        yield "| asked | of | weight | otherwise it is |\n| --- | --- | --- | --- |\n"
        for one in DISCRIMINATORS[bottleneck](Scope(nothing, "")):
            yield f"| {_asked(one)} | {_signals(one)} | {_WEIGHTS[one.weight]} | {one.otherwise or '—'} |\n"
    yield "\n"


def _head(bottleneck: Bottleneck) -> str:
    kind = next(alert.kind for alert in ALERTS.values() if alert.bottleneck is bottleneck)
    does = ", ".join(sorted(effect.replace("_", " ") for effect in DOES.get(bottleneck, ())))
    return f"A {kind}. It can be why: {does}." if does else f"A {kind}. It is why nothing else holds."


def _asked(one: Discriminator) -> str:
    asked = one.answer.words.ask().removeprefix("(").removesuffix(")")
    return asked[:1].upper() + asked[1:]


def _signals(one: Discriminator) -> str:
    return ", ".join(f"`{signal}`" for signal in dict.fromkeys(one.answer.signals))


if __name__ == "__main__":
    write()
