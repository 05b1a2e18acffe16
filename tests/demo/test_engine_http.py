"""The simulated engine over real HTTP, and its metrics against a captured vLLM."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from demo.engine.config import parse
from demo.engine.server import EngineServer

CAPTURE = Path(__file__).parents[1] / "data/captures/vllm/saturated.prom"
FAST = ("--sim-load-seconds", "0", "--sim-step-alpha-ms", "2", "--max-model-len", "1024")


@asynccontextmanager
async def engine(*arguments: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve an engine on a free port and yield a client of it."""
    runner = web.AppRunner(EngineServer(parse(arguments)).app(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as client:
            yield client
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what a server shows has no event to wait for
            await asyncio.sleep(0.02)


async def healthy(client: aiohttp.ClientSession) -> bool:
    async with client.get("/health") as answer:
        return answer.status == 200


async def metrics(client: aiohttp.ClientSession) -> dict[str, Metric]:
    async with client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {family.name: family for family in text_string_to_metric_families(await answer.text())}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """The one sample of that name with at least those labels."""
    [found] = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


async def complete(client: aiohttp.ClientSession, **body: Any) -> dict[str, Any]:
    async with client.post("/v1/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


def test_while_the_model_loads_everything_is_503_and_then_health_is_200() -> None:
    async def scenario() -> None:
        async with engine("--sim-load-seconds", "0.2") as client:
            for path in ("/health", "/metrics", "/v1/models"):
                async with client.get(path) as answer:
                    assert answer.status == 503
            await until(lambda: healthy(client))

    asyncio.run(scenario())


def test_a_completion_has_the_asked_length_usage_and_finish_reason() -> None:
    async def scenario() -> None:
        async with engine(*FAST) as client:
            await until(lambda: healthy(client))
            body = await complete(client, model="tiny-llama", prompt="one two three", max_tokens=7, ignore_eos=True)

            assert body["usage"]["completion_tokens"] == 7
            assert body["usage"]["prompt_tokens"] == 4
            assert body["choices"][0]["finish_reason"] == "length"
            assert len(body["choices"][0]["text"].split()) == 7

    asyncio.run(scenario())


def test_without_ignore_eos_the_model_stops_by_itself() -> None:
    async def scenario() -> None:
        async with engine(*FAST, "--sim-mean-answer-tokens", "5") as client:
            await until(lambda: healthy(client))
            body = await complete(client, prompt=[5, 6, 7], max_tokens=900)

            assert body["choices"][0]["finish_reason"] == "stop"
            assert body["usage"]["completion_tokens"] < 900

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "a b c"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a b c"}]}),
    ],
)
def test_a_stream_gives_one_event_a_token_then_usage_then_done(path: str, body: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with engine(*FAST) as client:
            await until(lambda: healthy(client))
            ask = {**body, "max_tokens": 5, "ignore_eos": True, "stream": True}
            async with client.post(path, json=ask | {"stream_options": {"include_usage": True}}) as answer:
                assert answer.content_type == "text/event-stream"
                lines = [line.decode().strip() async for line in answer.content if line.strip()]

            *chunks, done = [line.removeprefix("data: ") for line in lines]
            *tokens, last = [json.loads(chunk) for chunk in chunks]
            assert done == "[DONE]"
            assert [chunk["choices"][0]["finish_reason"] for chunk in tokens] == [None] * 4 + ["length"]
            assert last["usage"]["completion_tokens"] == 5

    asyncio.run(scenario())


def test_a_client_that_hangs_up_frees_its_slot_and_counts_as_an_abort() -> None:
    async def scenario() -> None:
        async with engine(*FAST, "--max-num-seqs", "1") as client:
            await until(lambda: healthy(client))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await complete(client, prompt="x", max_tokens=1000, ignore_eos=True)

            async def aborted() -> bool:
                found = await metrics(client)
                return value(found, "vllm:request_success_total", finished_reason="abort") == 1

            await until(aborted)
            found = await metrics(client)
            assert value(found, "vllm:num_requests_running") == 0
            assert value(found, "vllm:kv_cache_usage_perc") == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"prompt": "x", "max_tokens": "many"}, 400, "max_tokens"),
        ({"prompt": "x", "max_tokens": 5000}, 400, "maximum context length is 1024"),
        ({"prompt": ["a", "b"]}, 400, "prompt"),
        ({"prompt": "x", "model": "gpt-9"}, 404, "does not exist"),
    ],
)
def test_a_bad_request_is_refused_in_openai_form(body: dict[str, Any], status: int, message: str) -> None:
    async def scenario() -> None:
        async with engine(*FAST) as client:
            await until(lambda: healthy(client))
            async with client.post("/v1/completions", json=body) as answer:
                assert answer.status == status
                assert message in (await answer.json())["error"]["message"]

    asyncio.run(scenario())


def test_under_load_the_gauges_show_a_full_batch_and_a_queue_and_the_counters_add_up() -> None:
    async def scenario() -> None:
        async with engine(*FAST, "--max-num-seqs", "4") as client:
            await until(lambda: healthy(client))
            asks = [
                asyncio.create_task(complete(client, prompt=[n] * 40, max_tokens=60, ignore_eos=True))
                for n in range(12)
            ]

            async def busy() -> bool:
                found = await metrics(client)
                running, waiting = (value(found, f"vllm:num_requests_{name}") for name in ("running", "waiting"))
                return (running, waiting) == (4, 8) and value(found, "vllm:kv_cache_usage_perc") > 0

            await until(busy)
            await asyncio.gather(*asks)
            found = await metrics(client)
            assert value(found, "vllm:prompt_tokens_total") == 12 * 40
            assert value(found, "vllm:generation_tokens_total") == 12 * 60
            assert value(found, "vllm:request_success_total", finished_reason="length") == 12
            assert value(found, "vllm:inter_token_latency_seconds_count") == 12 * 59
            for name in ("time_to_first_token", "request_queue_time", "request_decode_time", "e2e_request_latency"):
                assert value(found, f"vllm:{name}_seconds_count") == 12
            assert value(found, "vllm:request_generation_tokens_sum") == 12 * 60

    asyncio.run(scenario())


def shape(families: dict[str, Metric]) -> dict[str, tuple[str, str, frozenset[str], tuple[str, ...]]]:
    """Family name -> type, help, label names and bucket bounds, for vLLM's own families."""
    return {
        name: (
            family.type,
            family.documentation,
            frozenset(label for sample in family.samples for label in sample.labels),
            tuple(dict.fromkeys(sample.labels["le"] for sample in family.samples if "le" in sample.labels)),
        )
        for name, family in families.items()
        if name.startswith("vllm:")
    }


def test_families_types_help_labels_and_buckets_are_those_of_a_captured_server() -> None:
    captured = {family.name: family for family in text_string_to_metric_families(CAPTURE.read_text())}

    async def scenario() -> dict[str, Metric]:
        async with engine(*FAST) as client:
            await until(lambda: healthy(client))
            return await metrics(client)

    ours, theirs = shape(asyncio.run(scenario())), shape(captured)
    our_info, their_info = ours.pop("vllm:cache_config_info"), theirs.pop("vllm:cache_config_info")

    assert ours == theirs
    assert our_info[2] < their_info[2], "the label set of cache_config_info varies between versions; ours is a part"
