"""What handlers need, given to the application once."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app

from recommender.auth import Tokens
from recommender.clock import Clock
from recommender.health import Health
from recommender.inventory import Inventory
from recommender.pipeline import Pipeline
from recommender.store import Store
from recommender.telemetry import Telemetry

_KEY = "optiinfra"


@dataclass(frozen=True, slots=True)
class Context:
    """The application's parts. `wake_*` tell a loop that there is work."""

    store: Store
    pipeline: Pipeline
    inventory: Inventory
    tokens: Tokens
    health: Health
    telemetry: Telemetry
    clock: Clock
    backlog_limit: int
    max_body_bytes: int
    wake_intake: Callable[[], None]
    wake_reconciler: Callable[[], None]


def context() -> Context:
    """The parts of the application that serves this request."""
    found: Context = current_app.extensions[_KEY]
    return found


def attach(extensions: dict[str, object], parts: Context) -> None:
    """Give an application its parts."""
    extensions[_KEY] = parts
