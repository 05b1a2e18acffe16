"""`python -m demo.load URL…`: open-loop load on the replicas of a service.

Open loop: requests are sent when their time has come, however slow the answers are, as real users do. Each goes to a
random healthy replica and, when that one cannot be reached or drops the connection, once to another.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from demo.traffic import Arrival, Lengths, Traffic, arrivals

HEALTH_PERIOD_SECONDS = 0.5
_CONNECTION_ERRORS = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)


class ReplicaBusyError(Exception):
    """A replica answered with a server error."""


@dataclass(slots=True)
class Tally:
    """What became of the requests; `seconds` are the durations of the completed ones since the last report."""

    counts: Counter[str] = field(default_factory=Counter)
    output_tokens: int = 0
    seconds: list[float] = field(default_factory=list)

    def report(self, elapsed: float) -> str:
        """One line of totals, with the median and p95 duration of what completed since the last report."""
        durations, self.seconds = sorted(self.seconds), []
        shares = [f"{durations[int(share * (len(durations) - 1))]:.1f}" if durations else "-" for share in (0.5, 0.95)]
        names = ("sent", "completed", "gave_up", "retried", "failed", "no_replica")
        totals = " ".join(f"{name}={self.counts[name]}" for name in names)
        return f"t={elapsed:.0f}s {totals} output_tokens={self.output_tokens} p50={shares[0]}s p95={shares[1]}s"


class LoadGenerator:
    """Sends arrivals to replicas; `run` ends at its deadline or when cancelled."""

    def __init__(self, session: aiohttp.ClientSession, replicas: Sequence[str], model: str | None = None) -> None:
        self._session = session
        self._model = model
        self._healthy = dict.fromkeys((url.rstrip("/") for url in replicas), False)
        self._some_healthy = asyncio.Event()
        self.tally = Tally()

    async def run(self, traffic: Traffic, *, seed: int, duration: float) -> None:
        """Generate load for `duration` seconds once a replica is healthy, then wait for the answers."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch_health())
            await self._some_healthy.wait()
            start = loop.time()
            async with asyncio.TaskGroup() as requests:
                for arrival in arrivals(traffic, seed):
                    if arrival.at > duration:
                        break
                    await asyncio.sleep(max(0.0, start + arrival.at - loop.time()))
                    requests.create_task(self._send(arrival))
            watch.cancel()

    async def _watch_health(self) -> None:
        while True:
            for url in self._healthy:
                self._healthy[url] = await self._is_healthy(url)
            if any(self._healthy.values()):
                self._some_healthy.set()
            await asyncio.sleep(HEALTH_PERIOD_SECONDS)

    async def _is_healthy(self, url: str) -> bool:
        try:
            async with self._session.get(f"{url}/health", timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return answer.ok
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _send(self, arrival: Arrival) -> None:
        self.tally.counts["sent"] += 1
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(arrival.patience):
                tokens = await self._attempt_twice(arrival)
        except TimeoutError:
            self.tally.counts["gave_up"] += 1
            return
        if tokens is not None:
            self.tally.counts["completed"] += 1
            self.tally.output_tokens += tokens
            self.tally.seconds.append(loop.time() - started)

    async def _attempt_twice(self, arrival: Arrival) -> int | None:
        """Output tokens of the answer; None when there was none, and why is counted."""
        tried: set[str] = set()
        for attempt in range(2):
            url = self._choose(arrival.pick, tried)
            if url is None:
                break
            tried.add(url)
            self.tally.counts["retried"] += attempt
            try:
                return await self._post(url, arrival)
            except _CONNECTION_ERRORS:
                self._healthy[url] = False
            except ReplicaBusyError:
                continue
            except aiohttp.ClientResponseError:  # the request is wrong, and would be at another replica
                break
        self.tally.counts["failed" if tried else "no_replica"] += 1
        return None

    def _choose(self, pick: float, tried: set[str]) -> str | None:
        candidates = [url for url, healthy in self._healthy.items() if healthy and url not in tried]
        return candidates[int(pick * len(candidates))] if candidates else None

    async def _post(self, url: str, arrival: Arrival) -> int:
        body = {
            "prompt": arrival.prompt,
            "max_tokens": arrival.max_tokens,
            "ignore_eos": True,
            "stream": arrival.stream,
        }
        if self._model is not None:
            body["model"] = self._model
        async with self._session.post(f"{url}/v1/completions", json=body) as answer:
            if answer.status >= 500:  # noqa: PLR2004 - HTTP's server errors
                raise ReplicaBusyError(f"{url} answered {answer.status}")
            answer.raise_for_status()
            if not arrival.stream:
                return int((await answer.json())["usage"]["completion_tokens"])
            return sum([1 async for line in answer.content if line.startswith(b"data: {")])


async def generate(options: argparse.Namespace, traffic: Traffic) -> None:
    """Run until done or told to stop, with a report every few seconds and one at the end."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        generator = LoadGenerator(session, options.replicas, options.model)
        loop = asyncio.get_running_loop()
        started = loop.time()
        load = loop.create_task(generator.run(traffic, seed=options.seed, duration=options.duration))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, load.cancel)
        while not load.done():
            await asyncio.wait([load], timeout=options.report_seconds)
            print(generator.tally.report(loop.time() - started), flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await load


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; lengths are in tokens, times in seconds."""
    parser = argparse.ArgumentParser("demo.load", description=__doc__, allow_abbrev=False)
    parser.add_argument("replicas", nargs="+", metavar="URL", help="base URLs of the replicas")
    parser.add_argument("--model", help="model name to ask for; default: let the server choose")
    parser.add_argument("--rate", type=float, default=11.5, help="requests a second over all replicas")
    parser.add_argument("--duration", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prompt-mean", type=float, default=150.0)
    parser.add_argument("--output-mean", type=float, default=100.0)
    parser.add_argument("--variation", type=float, default=0.5, help="coefficient of variation of both lengths")
    parser.add_argument("--max-length", type=int, default=1000, help="longest prompt and longest output")
    parser.add_argument("--timeout", type=float, default=8.0, help="mean patience of a client beyond 50 ms a token")
    parser.add_argument("--shared-prefix", type=int, default=0)
    parser.add_argument("--prefix-groups", type=int, default=1)
    parser.add_argument("--stream-share", type=float, default=0.05)
    parser.add_argument("--backlog", type=int, default=0, help="requests sent at once at the start")
    parser.add_argument("--report-seconds", type=float, default=10.0)
    return parser


def traffic_of(options: argparse.Namespace) -> Traffic:
    """The workload that the options describe."""
    lengths = {"variation": options.variation, "limit": options.max_length}
    return Traffic(
        rate=options.rate,
        prompt=Lengths(options.prompt_mean, **lengths),
        output=Lengths(options.output_mean, **lengths),
        patience=options.timeout,
        shared_prefix=options.shared_prefix,
        prefix_groups=options.prefix_groups,
        stream_share=options.stream_share,
        backlog=options.backlog,
    )


def main() -> int:
    """Run from the command line."""
    options = build_parser().parse_args()
    asyncio.run(generate(options, traffic_of(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
