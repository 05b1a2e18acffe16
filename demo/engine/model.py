"""Continuous batching as a pure model: what vLLM's V1 scheduler does, with a formula in place of the GPU.

Step time is alpha + beta * requests in the step + gamma * prompt tokens computed in it (tuning §2.3). Time is an
argument, randomness comes with the request: equal calls give equal results.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from demo.engine.blocks import BlockPool, chain_hashes


class FinishReason(StrEnum):
    """vLLM's `finished_reason` label."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"
    REPETITION = "repetition"


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the scheduler obeys. Times in seconds, sizes in tokens or blocks."""

    max_num_seqs: int
    max_num_batched_tokens: int
    num_gpu_blocks: int
    block_size: int
    prefix_caching: bool = True
    chunked_prefill: bool = True
    step_alpha: float = 0.026
    step_beta: float = 0.0004
    prefill_gamma: float = 0.00002

    def step_seconds(self, requests: int, prefill_tokens: int) -> float:
        """Duration of one step."""
        return self.step_alpha + self.step_beta * requests + self.prefill_gamma * prefill_tokens


@dataclass(slots=True, eq=False)
class Sequence:
    """One request's life in the engine. Times are seconds on the caller's clock, None until they happen."""

    id: str
    prompt: tuple[int, ...]
    max_tokens: int
    arrived_at: float
    stop_after: int | None = None
    """Tokens after which the model would stop by itself; None: only `max_tokens` ends it."""
    tokens: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    computed: int = 0
    published: int = 0
    cached_tokens: int = 0
    preemptions: int = 0
    scheduled_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished_at: float | None = None
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)

    @property
    def generated(self) -> int:
        """Output tokens so far."""
        return len(self.tokens) - len(self.prompt)

    @property
    def in_prefill(self) -> bool:
        """Whether the next step computes more than the newest token: the prompt, or all after a preemption."""
        return self.generated == 0 or len(self.tokens) - self.computed > 1

    def next_token(self) -> int:
        """A token that depends on the prompt and the position only, so a recomputation gives the same text."""
        return (self.prompt[-1] * 31 + self.prompt[0] * 17 + len(self.tokens) * 7919) % 4096

    def end_after_token(self) -> FinishReason | None:
        """Why the sequence ends with the tokens that it now has."""
        if self.stop_after is not None and self.generated >= self.stop_after:
            return FinishReason.STOP
        return FinishReason.LENGTH if self.generated >= self.max_tokens else None


@dataclass(frozen=True, slots=True)
class Token:
    """One delivered output token; `gap` is the time since the previous one, None for the first."""

    sequence: Sequence
    token: int
    gap: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """What one finished step did."""

    started_at: float
    ended_at: float
    scheduled_tokens: int
    computed_prompt_tokens: int
    tokens: tuple[Token, ...]
    finished: tuple[Sequence, ...]


@dataclass(slots=True)
class Totals:
    """Counters that only grow, all in tokens but `preemptions`."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0


@dataclass(frozen=True, slots=True)
class _Planned:
    started_at: float
    ends_at: float
    work: tuple[tuple[Sequence, int], ...]
    prompt_tokens: int


class EngineModel:
    """The scheduler: first come first served, preemption by recompute, newest first.

    The caller alternates `begin_step(now)` and `finish_step()`; requests may be submitted and aborted in between and
    are seen by the next step, as in a real engine.
    """

    def __init__(self, limits: ModelLimits) -> None:
        self.limits = limits
        self.pool = BlockPool(limits.num_gpu_blocks, limits.block_size, caching=limits.prefix_caching)
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self.totals = Totals()
        self._planned: _Planned | None = None

    def submit(self, sequence: Sequence) -> None:
        """Queue a request. Raises ValueError for one that could never run."""
        if not sequence.prompt or sequence.max_tokens < 1:
            raise ValueError("a request needs at least one prompt token and one output token")
        room = self.pool.usable * self.limits.block_size
        if len(sequence.prompt) + sequence.max_tokens > room:
            raise ValueError(f"{len(sequence.prompt)} + {sequence.max_tokens} tokens do not fit a KV cache of {room}")
        if not self.limits.chunked_prefill and len(sequence.prompt) > self.limits.max_num_batched_tokens:
            raise ValueError("the prompt is longer than max_num_batched_tokens and chunked prefill is off")
        self.waiting.append(sequence)

    def abort(self, sequence: Sequence, now: float) -> bool:
        """Drop a request whose client has gone; False when it had already finished."""
        if sequence.finish_reason is not None:
            return False
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._finish(sequence, FinishReason.ABORT, now)
        return True

    def begin_step(self, now: float) -> float | None:
        """Schedule the next step at `now`; returns when it ends, None when there is nothing to do."""
        if self._planned is not None:
            raise RuntimeError("the step before has not been finished")
        work, preempted = self._schedule_running()
        if not preempted:
            self._admit(work)
        if not work:
            return None
        fresh = [sequence for sequence, _ in work if sequence.scheduled_at is None]
        # A caller that catches up schedules in its past: no step starts before a request in it arrived.
        starts_at = max([now, *(sequence.arrived_at for sequence in fresh)])
        for sequence in fresh:
            self._count_admission(sequence, starts_at)
        prompt_tokens = sum(count for sequence, count in work if sequence.in_prefill)
        ends_at = starts_at + self.limits.step_seconds(len(work), prompt_tokens)
        self._planned = _Planned(starts_at, ends_at, tuple(work), prompt_tokens)
        return ends_at

    def finish_step(self) -> Step:
        """Carry out the planned step: tokens appear at its end."""
        planned = self._planned
        if planned is None:
            raise RuntimeError("no step has begun")
        self._planned = None
        tokens: list[Token] = []
        finished: list[Sequence] = []
        for sequence, count in planned.work:
            if sequence.finish_reason is not None:  # aborted during the step
                continue
            sequence.computed += count
            self._publish(sequence)
            if sequence.computed == len(sequence.tokens):
                tokens.append(self._emit(sequence, planned.ends_at))
                reason = sequence.end_after_token()
                if reason is not None:
                    self.running.remove(sequence)
                    self._finish(sequence, reason, planned.ends_at)
                    finished.append(sequence)
        scheduled = sum(count for _, count in planned.work)
        return Step(
            planned.started_at, planned.ends_at, scheduled, planned.prompt_tokens, tuple(tokens), tuple(finished)
        )

    def _schedule_running(self) -> tuple[list[tuple[Sequence, int]], bool]:
        """Give every running sequence its next tokens, preempting the newest ones for blocks."""
        budget = self.limits.max_num_batched_tokens
        work: list[tuple[Sequence, int]] = []
        preempted = False
        index = 0
        while index < len(self.running) and budget > 0:
            sequence = self.running[index]
            count = min(len(sequence.tokens) - sequence.computed, budget)
            while not self._grow(sequence, count):
                preempted = True
                if self._preempt_newest() is sequence:
                    return work, preempted
            work.append((sequence, count))
            budget -= count
            index += 1
        return work, preempted

    def _admit(self, work: list[tuple[Sequence, int]]) -> None:
        """Take waiting sequences in order while there is a slot, budget and KV room."""
        budget = self.limits.max_num_batched_tokens - sum(count for _, count in work)
        while self.waiting and budget > 0 and len(self.running) < self.limits.max_num_seqs:
            sequence = self.waiting[0]
            cached = self._cached_prefix(sequence)
            missing = len(sequence.tokens) - len(cached) * self.limits.block_size
            if missing > budget and not self.limits.chunked_prefill:
                return
            count = min(missing, budget)
            target = len(cached) * self.limits.block_size + count
            held = self.pool.take(cached, self._blocks_for(target) - len(cached))
            if held is None:
                return
            self.waiting.popleft()
            sequence.blocks = held
            sequence.computed = len(cached) * self.limits.block_size
            sequence.published = len(cached)
            self.running.append(sequence)
            work.append((sequence, count))
            budget -= count

    def _cached_prefix(self, sequence: Sequence) -> list[int]:
        if not self.limits.prefix_caching:
            return []
        chain_hashes(sequence.tokens, self.limits.block_size, sequence.hashes)
        # At least one token must be computed, or there is nothing to sample the next one from.
        reusable = (len(sequence.tokens) - 1) // self.limits.block_size
        return self.pool.match(sequence.hashes[:reusable])

    def _count_admission(self, sequence: Sequence, now: float) -> None:
        """First scheduling; a resumed sequence adds neither prompt tokens nor cache queries, as in vLLM."""
        sequence.scheduled_at = now
        sequence.cached_tokens = sequence.computed
        self.totals.prompt_tokens += len(sequence.prompt)
        if self.limits.prefix_caching:
            self.totals.prefix_queries += len(sequence.prompt)
            self.totals.prefix_hits += sequence.computed

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.limits.block_size)

    def _grow(self, sequence: Sequence, count: int) -> bool:
        missing = self._blocks_for(sequence.computed + count) - len(sequence.blocks)
        if missing <= 0:
            return True
        held = self.pool.take((), missing)
        if held is None:
            return False
        sequence.blocks.extend(held)
        return True

    def _preempt_newest(self) -> Sequence:
        victim = self.running.pop()
        self.pool.release(victim.blocks)
        victim.blocks = []
        victim.computed = 0
        victim.preemptions += 1
        self.totals.preemptions += 1
        self.waiting.appendleft(victim)
        return victim

    def _publish(self, sequence: Sequence) -> None:
        """Make the blocks that have become full findable."""
        full = sequence.computed // self.limits.block_size
        if not self.limits.prefix_caching or full <= sequence.published:
            return
        chain_hashes(sequence.tokens, self.limits.block_size, sequence.hashes)
        for index in range(sequence.published, full):
            self.pool.publish(sequence.blocks[index], sequence.hashes[index])
        sequence.published = full

    def _emit(self, sequence: Sequence, now: float) -> Token:
        gap = None if sequence.last_token_at is None else now - sequence.last_token_at
        if sequence.first_token_at is None:
            sequence.first_token_at = now
        sequence.last_token_at = now
        token = sequence.next_token()
        sequence.tokens.append(token)
        self.totals.generation_tokens += 1
        return Token(sequence, token, gap)

    def _finish(self, sequence: Sequence, reason: FinishReason, now: float) -> None:
        sequence.finish_reason = reason
        sequence.finished_at = now
        self.pool.release(sequence.blocks)
        sequence.blocks = []
