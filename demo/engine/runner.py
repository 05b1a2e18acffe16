"""Plays the model in real time: one task sleeps until the running step ends, then hands out its tokens.

Steps follow one another on the model's own clock, so a late wake-up does not slow the engine down: a step that is
overdue is carried out at once with the times that it should have had.
"""

import asyncio
from dataclasses import dataclass, field

from demo.engine.metrics import EngineMetrics
from demo.engine.model import EngineModel, Sequence, Step

MAX_LAG_SECONDS = 0.25
"""How far the engine may catch up; beyond it (a suspended process) the lost time stays lost, as it does on a GPU."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A client's end of a running request."""

    sequence: Sequence
    done: asyncio.Event = field(default_factory=asyncio.Event)
    stream: asyncio.Queue[int] | None = None
    """Tokens as they appear, when the client asked for a stream."""


class Runner:
    """Owns the model; every method runs in the event loop that runs `run()`."""

    def __init__(self, model: EngineModel, metrics: EngineMetrics) -> None:
        self._model = model
        self._metrics = metrics
        self._tickets: dict[str, Ticket] = {}
        self._work = asyncio.Event()

    def now(self) -> float:
        """The clock of all request times, seconds."""
        return asyncio.get_running_loop().time()

    def submit(self, sequence: Sequence, *, stream: bool) -> Ticket:
        """Queue a request; raises ValueError for one that could never run."""
        self._model.submit(sequence)
        ticket = Ticket(sequence, stream=asyncio.Queue() if stream else None)
        self._tickets[sequence.id] = ticket
        self._metrics.observe_state(self._model)
        self._work.set()
        return ticket

    def abort(self, ticket: Ticket) -> None:
        """The client has gone: free its slot. Nothing happens when the request had finished."""
        self._tickets.pop(ticket.sequence.id, None)
        if self._model.abort(ticket.sequence, self.now()):
            self._metrics.observe_finished(ticket.sequence)
            self._metrics.observe_state(self._model)

    async def run(self) -> None:
        """Step until cancelled."""
        start = self.now()
        while True:
            self._work.clear()
            ends_at = self._model.begin_step(start)
            if ends_at is None:
                await self._work.wait()
                start = self.now()
                continue
            # Gauges show the batch while it runs, which is what a scrape of a real engine sees.
            self._metrics.observe_state(self._model)
            await asyncio.sleep(max(0.0, ends_at - self.now()))
            self._deliver(self._model.finish_step())
            now = self.now()
            start = ends_at if now - ends_at < MAX_LAG_SECONDS else now

    def _deliver(self, step: Step) -> None:
        self._metrics.observe_step(step)
        for token in step.tokens:
            ticket = self._tickets.get(token.sequence.id)
            if ticket is not None and ticket.stream is not None:
                ticket.stream.put_nowait(token.token)
        for sequence in step.finished:
            ticket = self._tickets.pop(sequence.id, None)
            if ticket is not None:
                ticket.done.set()
        if step.finished:
            self._metrics.observe_state(self._model)
