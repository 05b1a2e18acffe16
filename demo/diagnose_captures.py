"""Writes what `optiinfra diagnose` says of the captured states of a real vLLM into docs/diagnose.md.

    python -m demo.diagnose_captures            # all states
    python -m demo.diagnose_captures --check    # only say whether the page is as the code has it

A real Prometheus without any rules holds ten minutes of each state, as one scrape job a state would have left them.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from demo.history import Scraped, prometheus, series_of
from demo.paths import ROOT
from demo.replay import Replayer
from recommender.oneshot.client import Access, ReadingClient
from recommender.oneshot.read import Wish
from recommender.oneshot.run import run
from recommender.oneshot.show import text

PAGE = ROOT / "docs" / "diagnose.md"
CAPTURES = ROOT / "tests" / "data" / "captures" / "vllm"
STATES = ("idle", "light", "steady", "saturated", "kv_pressure", "prefix_hits")
SHOWN_URL = "http://127.0.0.1:9090"
_STEPS = 42
_AT = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
_BLOCK = "<!-- {state} -->\n```text\n{body}```\n<!-- end of {state} -->"


def _page(state: str) -> Callable[[float], str]:
    now = [0.0]
    replayer = Replayer(CAPTURES, clock=lambda: now[0])

    def page(seconds: float) -> str:
        now[0] = seconds
        return replayer.page(state)

    return page


@contextmanager
def past(states: Iterable[str]) -> Iterator[str]:
    """The URL of a Prometheus that scraped an engine in each of `states`, in a job of that name."""
    hosts = {state: f"gpu{number}:8000" for number, state in enumerate(STATES, 1)}
    targets = [Scraped(_page(state), {"job": state, "instance": hosts[state]}) for state in states]
    with (
        tempfile.TemporaryDirectory(prefix="optiinfra-diagnose-") as folder,
        prometheus(series_of(targets, _STEPS), _STEPS, _AT.timestamp(), Path(folder)) as url,
    ):
        yield url


def output(url: str, state: str) -> str:
    """What the command prints of one state, with the address that a reader would have."""
    client = ReadingClient(url, Access(), timeout_seconds=60)
    try:
        shown = text(run(client, Wish(service=state, at=_AT))).plain
    finally:
        client.close()
    lines = shown.replace(url, SHOWN_URL).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def written(page: str, outputs: Mapping[str, str]) -> str:
    """The page with these outputs in place of those that it has."""
    for state, body in outputs.items():
        place = re.search(rf"<!-- {state} -->\n.*?<!-- end of {state} -->", page, re.DOTALL)
        if place is None:
            raise click.ClickException(f"{PAGE.name} has no place for {state}")
        page = page[: place.start()] + _BLOCK.format(state=state, body=body) + page[place.end() :]
    return page


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where the page is not as the code has it.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; all by default.")
def main(check: bool, states: tuple[str, ...]) -> None:  # noqa: FBT001 - click passes the flag
    """Bring docs/diagnose.md up to date."""
    before = PAGE.read_text(encoding="utf-8")
    with past(states or STATES) as url:
        after = written(before, {state: output(url, state) for state in states or STATES})
    if check and after != before:
        raise click.ClickException(f"{PAGE.name} is not as the code has it: python -m demo.diagnose_captures")
    if not check:
        PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
