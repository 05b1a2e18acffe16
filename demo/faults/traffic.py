"""Seeded requests over virtual time."""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

from demo.engine.model import Sequence


@dataclass(frozen=True, slots=True)
class Load:
    """What users ask for. Lengths in tokens, each give or take its share `spread`, times in seconds.

    `rate`: requests a second of an open loop, Poisson. `clients`: users of a closed loop, who ask again at once.
    `groups`: how many different beginnings of `shared` tokens the prompts have; 0: no two prompts are alike.
    `patience`: how long a client waits for the first token. `failing`: share of requests that end in an error before
    they reach the scheduler.
    """

    rate: float = 0.0
    clients: int = 0
    prompt: int = 100
    answer: int = 40
    spread: float = 0.5
    shared: int = 0
    groups: int = 0
    patience: float | None = None
    failing: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request and how it was meant to go."""

    sequence: Sequence
    load: Load
    client: bool


class Users:
    """Gives the requests of a load, by seed alone; the load may change at any time."""

    def __init__(self, seed: int, start: float) -> None:
        self._dice = random.Random(seed)
        self._load = Load()
        self._next = start
        self._clients: list[float] = []
        self._count = 0

    def become(self, load: Load, now: float) -> None:
        """Ask for `load` from `now` on; clients that are too many leave when their request ends."""
        missing = load.clients - self._load.clients
        for _ in range(missing):
            heapq.heappush(self._clients, now + self._dice.random() * 2)
        self._load = load
        self._next = now + self._gap()

    def due(self, now: float) -> Iterator[Request]:
        """Requests that have arrived by `now`."""
        while self._next <= now:
            yield self._request(self._next, client=False)
            self._next += self._gap()
        while self._clients and self._clients[0] <= now:
            yield self._request(heapq.heappop(self._clients), client=True)

    def next_arrival(self) -> float:
        """When the next request arrives."""
        return min(self._next, self._clients[0]) if self._clients else self._next

    def ended(self, request: Request, now: float) -> None:
        """A client of a closed loop asks again, if there still are so many."""
        if request.client and len(self._clients) < self._load.clients:
            heapq.heappush(self._clients, now)

    def lot(self) -> float:
        """A number below 1."""
        return self._dice.random()

    def _gap(self) -> float:
        return self._dice.expovariate(self._load.rate) if self._load.rate > 0 else float("inf")

    def _request(self, at: float, *, client: bool) -> Request:
        load, dice = self._load, self._dice
        self._count += 1
        length = max(2, round(load.prompt * dice.uniform(1 - load.spread, 1 + load.spread)))
        answer = max(1, round(load.answer * dice.uniform(1 - load.spread, 1 + load.spread)))
        first = dice.randrange(1 << 40)
        prompt = tuple(range(first, first + length))
        if load.groups:
            beginning = 10_000_000 * (1 + dice.randrange(load.groups))
            prompt = (*range(beginning, beginning + load.shared), *prompt)
        return Request(Sequence(str(self._count), prompt, answer, at), load, client)
