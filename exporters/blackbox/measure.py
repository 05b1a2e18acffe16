"""What a probe measures, filled in as it goes, so that one that fails half-way still tells how far it came."""

from collections.abc import Callable
from dataclasses import dataclass, field

from exporters.blackbox.completion import Event
from exporters.catalog import BlackboxPhase
from exporters.exchange import Step

_PHASE_OF = {
    Step.RESOLVED: BlackboxPhase.RESOLVE,
    Step.CONNECTED: BlackboxPhase.CONNECT,
    Step.SECURED: BlackboxPhase.TLS,
    Step.ANSWERED: BlackboxPhase.HEAD,
}


class Stopwatch:
    """Ends of phases on one clock of monotonic seconds; a phase lasts from the end of the one before it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()
        self._ends: dict[BlackboxPhase, float] = {}

    def now(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def end(self, phase: BlackboxPhase) -> None:
        """`phase` is over."""
        self._ends[phase] = self.now()

    def step(self, step: Step) -> None:
        """A step of the exchange is done."""
        self.end(_PHASE_OF[step])

    def sending_at(self) -> float:
        """When the request was sent, in seconds since the start: its connection was open from then on."""
        before = (BlackboxPhase.TLS, BlackboxPhase.CONNECT, BlackboxPhase.RESOLVE, BlackboxPhase.MODEL)
        return next((self._ends[phase] for phase in before if phase in self._ends), 0.0)

    def phases(self) -> dict[BlackboxPhase, float]:
        """Seconds of each phase that came to its end."""
        found, before = {}, 0.0
        for phase, end in sorted(dict(self._ends).items(), key=lambda item: item[1]):
            found[phase], before = end - before, end
        return found


@dataclass(slots=True)
class Measured:
    """One probe. Instants are seconds since its start; None is what it did not get to."""

    stopwatch: Stopwatch
    model: str = ""
    status: int | None = None
    body_bytes: int | None = None
    first_text_at: float | None = None
    last_text_at: float | None = None
    last_choice_at: float | None = None
    longest_gap: float | None = None
    pieces: int = 0
    finished: bool = False
    done: bool = False
    counted_tokens: int | None = field(default=None)

    def take(self, event: Event, at: float) -> None:
        """An event of the stream came at `at`."""
        if event.has_text:
            if self.last_text_at is None:
                self.first_text_at = at
            else:
                self.longest_gap = max(self.longest_gap or 0.0, at - self.last_text_at)
            self.last_text_at = at
            self.pieces += 1
        if event.has_choice and self.first_text_at is not None:
            self.last_choice_at = at
        self.finished = self.finished or event.finished
        if event.generated_tokens is not None:
            self.counted_tokens = event.generated_tokens

    def generated_tokens(self, max_tokens: int) -> int | None:
        """Tokens as the endpoint counts them, else pieces of text; None before a whole answer.

        A count above `max_tokens`, which the endpoint may not generate, or below one token where there is text, says
        nothing and is left aside.
        """
        if not self.done:
            return None
        counted = self.counted_tokens
        if counted is not None and min(self.pieces, 1) <= counted <= max_tokens:
            return counted
        return self.pieces

    def time_to_first_token(self) -> float | None:
        """Seconds from sending the request on an open connection to the first text."""
        return None if self.first_text_at is None else self.first_text_at - self.stopwatch.sending_at()

    def inter_token_latency(self, max_tokens: int) -> float | None:
        """Mean seconds between two tokens; None for fewer than two tokens or where their text came in one piece.

        The last token may have no text, so its time is that of the last event that is part of the answer.
        """
        tokens = self.generated_tokens(max_tokens)
        if tokens is None or self.first_text_at is None or self.last_choice_at is None:
            return None
        if min(tokens, self.pieces) < 2:  # noqa: PLR2004 - a gap needs two
            return None
        return (self.last_choice_at - self.first_text_at) / (tokens - 1)
