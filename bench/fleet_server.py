"""A synthetic fleet: one process that answers as any number of vLLM engines, each with its own model and counters.

    python -m bench.fleet_server --ports 4

Replica N is `http://127.0.0.1:PORT/r/N`. Its page is a captured one (about 53 KB) whose figures move, from scrape to
scrape, from those of a state's first capture towards those of its second and on. Prints its ports as a JSON list.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

CAPTURES = Path(__file__).parents[1] / "tests" / "data" / "captures" / "vllm"
MODELS = 20
STEPS = 60
_MODEL = b'model_name="tiny-llama"'


def pages(first: str, second: str, steps: int = STEPS) -> list[bytes]:
    """The pages of one engine as it serves: what rose between two captures goes on rising, a tenth of it each step."""
    later = dict(line.rsplit(" ", 1) for line in second.splitlines() if line and line[0] != "#")
    rows = []
    for line in first.splitlines():
        series, _, value = line.rpartition(" ")
        rise = float(later[series]) - float(value) if line[:1] not in ("", "#") and series in later else 0.0
        rows.append((line, series, float(value), rise) if rise > 0 else (line, "", 0.0, 0.0))
    return [
        "".join(
            f"{series} {value + rise * step / 10:.10g}\n" if rise else f"{line}\n" for line, series, value, rise in rows
        ).encode()
        for step in range(steps)
    ]


def captured_states() -> list[list[bytes]]:
    """The pages of every captured state."""
    return [
        pages(path.with_suffix("").with_suffix(".prom").read_text(), path.read_text())
        for path in sorted(CAPTURES.glob("*.2.prom"))
    ]


@dataclass
class Fleet:
    """What the replicas answer. `asked` counts scrapes of each."""

    states: list[list[bytes]] = field(default_factory=captured_states)
    asked: Counter[int] = field(default_factory=Counter)

    def answer(self, path: bytes) -> bytes:
        """The whole HTTP answer to a GET of `path`."""
        _, replica, page = path.removeprefix(b"/r").split(b"/", 2)
        number = int(replica)
        if page == b"version":
            return http(b'{"version":"0.32.0"}', b"application/json")
        if page == b"v1/models":
            return http(b'{"data":[{"id":"model-%d","max_model_len":2048}]}' % (number % MODELS), b"application/json")
        if page != b"metrics":
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        state = self.states[number % len(self.states)]
        body = state[min(self.asked[number], len(state) - 1)]
        self.asked[number] += 1
        body = body.replace(_MODEL, b'model_name="model-%d"' % (number % MODELS))
        return http(body, b"text/plain; version=0.0.4; charset=utf-8")


def http(body: bytes, media_type: bytes) -> bytes:
    """A whole HTTP answer, after which the connection is closed."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (media_type, len(body)) + body


class Connection(asyncio.Protocol):
    """One GET, answered with what `answer` gives for its path."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when the head of the request is complete."""
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            self._transport.write(self._answer(self._head.split(b" ", 2)[1]))
            self._transport.close()


async def serve(count: int) -> None:
    """Serve on `count` ports until cancelled."""
    fleet = Fleet()
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: Connection(fleet.answer), "127.0.0.1", 0, backlog=1024) for _ in range(count)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]))
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


@click.command()
@click.option("--ports", default=4, show_default=True, help="How many ports share the replicas.")
def main(ports: int) -> None:
    """Serve the fleet until interrupted."""
    asyncio.run(serve(ports))


if __name__ == "__main__":
    main()
