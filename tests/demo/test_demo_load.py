"""The load: its distributions, its open loop over real engines, and the demo's before and after."""

import asyncio
import itertools
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import pytest
from aiohttp import web

from demo.engine.config import parse
from demo.engine.model import EngineModel, FinishReason, ModelLimits
from demo.engine.model import Sequence as EngineSequence
from demo.engine.server import EngineServer
from demo.load import LoadGenerator, build_parser, traffic_of
from demo.traffic import Lengths, Traffic, arrivals

DEMO = traffic_of(build_parser().parse_args(["http://unused"]))
REPLICAS = 3


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[int(q * (len(values) - 1))]


def test_arrivals_are_poisson_at_the_asked_rate_and_repeat_by_seed() -> None:
    first = list(itertools.islice(arrivals(DEMO, seed=7), 5000))
    gaps = [after.at - before.at for before, after in itertools.pairwise(first)]

    assert statistics.mean(gaps) == pytest.approx(1 / DEMO.rate, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(1 / DEMO.rate, rel=0.08)
    assert first[:50] == list(itertools.islice(arrivals(DEMO, seed=7), 50))
    assert first[:50] != list(itertools.islice(arrivals(DEMO, seed=8), 50))


def test_a_backlog_comes_at_once_and_the_rest_at_its_rate() -> None:
    first = list(itertools.islice(arrivals(replace(DEMO, backlog=30), seed=7), 1000))

    assert [one.at for one in first[:30]] == [0.0] * 30
    assert first[-1].at == pytest.approx(970 / DEMO.rate, rel=0.1)


def test_lengths_have_the_asked_mean_and_stay_in_bounds() -> None:
    drawn = list(itertools.islice(arrivals(DEMO, seed=1), 5000))

    assert statistics.mean(one.max_tokens for one in drawn) == pytest.approx(100, rel=0.05)
    assert statistics.mean(len(one.prompt) for one in drawn) == pytest.approx(150, rel=0.05)
    assert min(one.max_tokens for one in drawn) >= 1
    assert max(one.max_tokens for one in drawn) <= 1000


def test_prompts_of_a_group_share_their_prefix() -> None:
    traffic = replace(DEMO, shared_prefix=32, prefix_groups=2)
    prefixes = {one.prompt[:32] for one in itertools.islice(arrivals(traffic, seed=1), 100)}

    assert len(prefixes) == 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """One replica's share of the demo load, simulated without any clock."""

    tokens_per_second: float
    ttft_p95: float
    itl_p95: float
    shortest_queue: int
    mean_queue: float
    highest_kv: float
    preemptions: int
    aborted: float


def simulate(max_num_seqs: int, *, seconds: float = 240.0, warm: float = 90.0) -> Outcome:
    """Drive one model with a third of the demo's traffic; figures are of the time after `warm`."""
    config = parse(["--max-num-seqs", str(max_num_seqs), "--max-model-len", "2048"])
    model = EngineModel(config.limits)
    coming = arrivals(replace(DEMO, rate=DEMO.rate / REPLICAS), seed=3)
    upcoming, deadlines = next(coming), dict[EngineSequence, float]()
    ttfts, gaps, queues, kv = list[float](), list[float](), list[int](), list[float]()
    tokens = aborted = finished = 0
    now = 0.0
    while now < seconds:
        while upcoming.at <= now:
            sequence = EngineSequence(str(upcoming.at), upcoming.prompt, upcoming.max_tokens, upcoming.at)
            model.submit(sequence)
            deadlines[sequence] = upcoming.at + upcoming.patience
            upcoming = next(coming)
        for sequence in [one for one, end in deadlines.items() if end <= now]:
            aborted += model.abort(sequence, now) and now > warm
            del deadlines[sequence]
        ends = model.begin_step(now)
        if ends is None:
            now = upcoming.at
            continue
        step = model.finish_step()
        now = ends
        for one in step.finished:
            assert one.finish_reason is FinishReason.LENGTH
            del deadlines[one]
        if now > warm:
            finished += len(step.finished)
            tokens += len(step.tokens)
            gaps += [one.gap for one in step.tokens if one.gap is not None]
            ttfts += [now - one.sequence.arrived_at for one in step.tokens if one.gap is None]
            queues.append(len(model.waiting))
            kv.append(model.pool.usage)
    return Outcome(
        tokens / (seconds - warm),
        quantile(ttfts, 0.95),
        quantile(gaps, 0.95),
        min(queues),
        statistics.mean(queues),
        max(kv),
        model.totals.preemptions,
        aborted / (aborted + finished),
    )


def test_the_demo_load_overruns_eight_slots_and_fits_sixteen() -> None:
    before, after = simulate(8), simulate(16)

    assert before.shortest_queue > 5
    assert before.ttft_p95 > 6
    assert before.highest_kv < 0.2
    assert after.mean_queue < 1
    assert after.ttft_p95 < 1
    assert after.itl_p95 < 0.05
    assert after.highest_kv < 0.3
    assert after.tokens_per_second > 1.25 * before.tokens_per_second
    assert (before.preemptions, after.preemptions, after.aborted) == (0, 0, 0)
    assert before.aborted > 0.1


@asynccontextmanager
async def engines(count: int, *arguments: str) -> AsyncIterator[list[str]]:
    """Serve `count` engines on free ports and yield their base URLs."""
    runners = []
    try:
        for _ in range(count):
            config = parse(["--sim-load-seconds", "0", *arguments])
            runner = web.AppRunner(EngineServer(config).app(), handler_cancellation=True, shutdown_timeout=0.1)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield [f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners]
    finally:
        for runner in runners:
            await runner.cleanup()


def small(rate: float, *, output: float = 5, patience: float = 20) -> Traffic:
    return Traffic(rate, Lengths(10, 0.1, 50), Lengths(output, 0.1, 900), patience, stream_share=0.3)


def test_every_request_is_answered_when_there_is_room() -> None:
    async def scenario() -> None:
        async with engines(2) as urls, aiohttp.ClientSession() as session:
            load = LoadGenerator(session, urls)
            await load.run(small(60), seed=1, duration=0.5)

            assert load.tally.counts["sent"] == load.tally.counts["completed"] > 10
            assert load.tally.output_tokens > 10
            assert "gave_up=0" in load.tally.report(0.5)

    asyncio.run(scenario())


def test_a_client_out_of_patience_gives_up() -> None:
    async def scenario() -> None:
        async with engines(1, "--sim-step-alpha-ms", "300") as urls, aiohttp.ClientSession() as session:
            load = LoadGenerator(session, urls)
            await load.run(small(20, patience=0.2), seed=1, duration=0.4)

            assert load.tally.counts["gave_up"] == load.tally.counts["sent"] > 0

    asyncio.run(scenario())


def test_a_replica_that_drops_its_connections_costs_a_retry_and_no_request() -> None:
    async def drop(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def scenario() -> None:
        broken = web.AppRunner(dropper := web.Application(), shutdown_timeout=0.1)
        dropper.router.add_route("*", "/{any:.*}", drop)
        await broken.setup()
        await web.TCPSite(broken, "127.0.0.1", 0).start()
        try:
            async with engines(1) as urls, aiohttp.ClientSession() as session:
                load = LoadGenerator(session, [*urls, f"http://127.0.0.1:{broken.addresses[0][1]}"])
                await load.run(small(60), seed=1, duration=0.5)

                assert load.tally.counts["retried"] > 0
                assert load.tally.counts["completed"] == load.tally.counts["sent"]
        finally:
            await broken.cleanup()

    asyncio.run(scenario())


def test_a_request_that_engines_refuse_is_counted_and_does_not_end_the_load() -> None:
    async def scenario() -> None:
        async with engines(1) as urls, aiohttp.ClientSession() as session:
            load = LoadGenerator(session, urls, model="another-model")
            await load.run(small(40), seed=1, duration=0.3)

            assert load.tally.counts["failed"] == load.tally.counts["sent"] > 0

    asyncio.run(scenario())


def test_the_model_limits_of_the_demo_are_the_default_ones() -> None:
    assert parse(["--max-num-seqs", "8"]).limits.step_seconds(8, 0) == pytest.approx(0.0292)
    assert ModelLimits(8, 2048, 100, 16).step_seconds(8, 0) == pytest.approx(0.0292)
