"""What an expression became: PromQL that reads nothing recorded, nothing at all, or why it cannot be had."""

from dataclasses import dataclass


class Refused(Exception):
    """An expression that cannot be evaluated without its recorded series; the text says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """An expression as text.

    `steps`: how often engines' own series are looked up for one evaluation; a subquery multiplies it by its points.
    `binds`: as an operand it needs brackets. `scalar`: it is a number and no vector.
    """

    text: str
    steps: int = 1
    binds: bool = False
    scalar: bool = False

    @property
    def operand(self) -> str:
        """The text, in brackets where something may follow or precede it."""
        return f"({self.text})" if self.binds else self.text


NOTHING = None
"""An expression that gives no series, because what it reads does not exist here."""

Result = Piece | None
