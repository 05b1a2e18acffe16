"""Ends a rollout at a chosen point: around every save and every restart command, after every file written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from recommender.executors import files, receipt
from recommender.executors.command import CommandExecutor
from recommender.model import Event, Workflow
from recommender.store import Store


class Killed(BaseException):
    """As sudden to the code under test as a kill: nothing in the product catches it."""


class Saboteur:
    """Counts the points that a story passes and calls `end` at the one asked for, by number or as `name occurrence`."""

    def __init__(self, at: int | str | None, end: Callable[[], None]) -> None:
        self._at = at
        self._end = end
        self.passed: list[str] = []

    def point(self, name: str) -> None:
        number = len(self.passed)
        self.passed.append(name)
        if self._at in (number, f"{name} {self.passed.count(name)}"):
            self._end()


@contextmanager
def sabotage(saboteur: Saboteur) -> Iterator[None]:
    """Within the block, the real store, files and restart command have such points."""
    save, restart, replace = Store.save, CommandExecutor._restart, files.replace_text

    def saving(self: Store, workflow: Workflow, events: Sequence[Event], *, release: bool = True) -> Workflow:
        saboteur.point("before save")
        saved = save(self, workflow, events, release=release)
        saboteur.point("after save")
        return saved

    def restarting(self: CommandExecutor, *args: object) -> None:
        saboteur.point("before restart")
        restart(self, *args)  # type: ignore[arg-type] - passed through
        saboteur.point("after restart")

    def replacing(*args: object) -> None:
        replace(*args)  # type: ignore[arg-type] - passed through
        saboteur.point("after file")

    with (
        patch.object(Store, "save", saving),
        patch.object(CommandExecutor, "_restart", restarting),
        patch.object(files, "replace_text", replacing),
        patch.object(receipt, "replace_text", replacing),
    ):
        yield
