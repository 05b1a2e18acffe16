"""A what-if straight from a Prometheus: by the signals that are recorded there, else by engines' own series."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from recommender.errors import Refused
from recommender.inventory import Inventory
from recommender.model import Ask, KnobValue
from recommender.oneshot.client import ReadingClient
from recommender.oneshot.read import Known, read
from recommender.oneshot.read import Wish as Reading
from recommender.oneshot.report import Source
from recommender.oneshot.subject import subject_of
from recommender.whatif.ask import ask_of
from recommender.whatif.given import GIVABLE, with_given
from recommender.whatif.model import WhatIf, Wish
from rules.pack import load_rules


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read: `source` None takes recorded signals where there are any. `given` goes before the inventory."""

    inventory: Inventory = field(default_factory=Inventory)
    given: Mapping[str, KnobValue] = field(default_factory=dict)
    source: Source | None = None
    at: datetime | None = None


def ask_directly(client: ReadingClient, service: str, wish: Wish, place: Place) -> WhatIf:
    """Read and predict; nothing is changed, and no recommender has to run.

    Raises NothingFound, Refused for a service of several engines or a setting that its engine does not take,
    ConfigError for a fact that cannot be, PrometheusError.
    """
    at = place.at or datetime.fromtimestamp(math.floor(client.now()), UTC)
    reading = Reading(service=service, source=place.source, at=at, inventory=place.inventory)
    found = read(client, load_rules(), reading, at)
    known = _the_one(found.services, service)
    subject = subject_of(known, place.inventory)
    if subject.config is None:
        raise Refused(f"'{service}' has replicas of {', '.join(known.engines)}: a what-if is of one engine")
    answer = ask_of(
        found.promql,
        known.name,
        with_given(subject.config, place.given),
        subject.targets,
        subject.executor,
        gpus=place.inventory.gpus_of(known.name),
        wish=wish,
        at=at,
    )
    asks = tuple(_givable(one) for one in answer.asks)
    return answer.model_copy(
        update={"signals": found.source.value, "asks": asks, "notes": (*answer.notes, *found.notes)}
    )


def _givable(ask: Ask) -> Ask:
    """With the option that answers it, where one does."""
    name = GIVABLE.get(ask.fact)
    return ask if name is None else ask.model_copy(update={"how": f"give --given {name}=…, or {ask.how}"})


def _the_one(services: tuple[Known, ...], service: str) -> Known:
    return next(one for one in services if one.name == service)
