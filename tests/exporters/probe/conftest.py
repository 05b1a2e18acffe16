"""A prober, and an engine for it to probe."""

from collections.abc import Iterator

import pytest

from exporters.inference import AllowList, Prober
from tests.helpers.fake_engine import SATURATED, Clock, FakeEngine, json_page, page, serving


@pytest.fixture(name="server")
def _server() -> Iterator[FakeEngine]:
    """A server that has no page yet."""
    with serving() as fake:
        yield fake


@pytest.fixture(name="engine")
def _engine(server: FakeEngine) -> FakeEngine:
    """A saturated vLLM."""
    server.pages["/metrics"] = page(SATURATED)
    server.pages["/version"] = json_page({"version": "0.32.0"})
    server.pages["/v1/models"] = json_page({"data": [{"id": "tiny-llama", "max_model_len": 2048}]})
    return server


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="prober")
def _prober(clock: Clock) -> Prober:
    return Prober(AllowList.parse(["127.0.0.0/8"]), clock=clock)
