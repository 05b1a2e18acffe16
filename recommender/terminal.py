"""A terminal's output that can be copied, searched and cut into columns: no line is broken, and no cell shortened.

What is wider than the terminal is wrapped by the terminal itself, which puts no line break into a copied query.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_ANY_WIDTH = 100_000


def terminal() -> Console:
    """A console that guesses no colours into text and breaks no lines."""
    return Console(highlight=False, soft_wrap=True, width=_ANY_WIDTH)


def show_table(console: Console, headings: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """A line a row, however wide."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
