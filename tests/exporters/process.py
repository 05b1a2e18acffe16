"""A real `optiinfra exporter` in a process of its own."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

COMMAND = [sys.executable, "-c", "from exporters.cli import exporter; exporter()"]


class Exporter:
    """A running exporter and what it logged."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.url = self.wait_for("exporter_listening")["url"]

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log until an event is there."""
        assert self.process.stderr is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stderr, selectors.EVENT_READ)
            until = time.monotonic() + 30
            while ready.select(timeout=until - time.monotonic()):
                line = self.process.stderr.readline()
                if not line:
                    break
                self.events.append(json.loads(line))
                if self.events[-1]["event"] == event:
                    return self.events[-1]
        pytest.fail(f"no {event} among {self.events}")

    def page(self) -> str:
        """What a scrape gets."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    def scrape(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Values by name and label values in the order of the label names."""
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.page())
            for sample in family.samples
        }

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Signal it, read the rest of its log, and give its exit status."""
        self.process.send_signal(signum)
        _, rest = self.process.communicate(timeout=30)
        self.events += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode


@contextlib.contextmanager
def exporters() -> Iterator[Callable[..., Exporter]]:
    """Give a function that starts exporters, with flags and environment; all of them end with the context."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str, **env: str) -> Exporter:
            process = subprocess.Popen(
                [*COMMAND, "--port", "0", *flags], env={**os.environ, **env}, stderr=subprocess.PIPE, text=True
            )
            stack.callback(process.wait, timeout=30)
            stack.callback(process.kill)
            stack.push(lambda *_: process.stderr.close() if process.stderr else None)
            return Exporter(process)

        yield start
