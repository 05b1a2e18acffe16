"""A recommender over waitress with a stub Prometheus, one a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recommender.foundation.live import Live, live, write_configuration
from tests.recommender.foundation.stub_prometheus import StubPrometheus, limited_service, stub_prometheus


@pytest.fixture
def prometheus() -> Iterator[StubPrometheus]:
    with stub_prometheus() as stub:
        stub.series = limited_service()
        yield stub


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def api(tmp_path: Path, prometheus: StubPrometheus, database_file: Path) -> Iterator[Live]:
    """With loops: alerts are looked at."""
    files = write_configuration(tmp_path)
    with live(database_url=f"sqlite:///{database_file}", prometheus_url=prometheus.url, **files) as running:
        yield running


@pytest.fixture
def intake(tmp_path: Path, prometheus: StubPrometheus, database_file: Path) -> Iterator[Live]:
    """Without loops: alerts are only taken."""
    files = write_configuration(tmp_path)
    url = f"sqlite:///{database_file}"
    settings = {"database_url": url, "prometheus_url": prometheus.url, "backlog_limit": 3, "max_body_bytes": 20_000}
    with live(loops=False, **settings, **files) as running:
        yield running
