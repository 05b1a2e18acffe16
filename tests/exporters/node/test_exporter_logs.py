"""Log lines for machines and for people."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from exporters.logs import forward, logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(name="library")
def _library() -> Iterator[str]:
    name = "some_library"
    yield name
    logging.getLogger(name).handlers.clear()


def test_events_are_json_lines_with_a_level_and_a_time() -> None:
    stream = io.StringIO()
    logger("info", stream).info("gpu_lost", gpu=1)
    line = json.loads(stream.getvalue())

    assert (line["event"], line["level"], line["gpu"]) == ("gpu_lost", "info", 1)
    assert line["timestamp"].endswith("Z")


def test_events_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    logger("warning", stream).info("gpu_lost")

    assert stream.getvalue() == ""


def test_a_terminal_gets_text() -> None:
    stream = Terminal()
    logger("info", stream).info("gpu_lost")

    assert "gpu_lost" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_traceback_does_not_tell_the_values_of_variables() -> None:
    stream = io.StringIO()
    secret = "hunter" + "2"
    try:
        int(secret[:6])
    except ValueError:
        logger("info", stream).exception("request_failed")

    assert "ValueError" in stream.getvalue()
    assert secret not in stream.getvalue()


def test_what_a_library_logs_becomes_an_event(library: str) -> None:
    stream = io.StringIO()
    forward(library, logger("info", stream))
    logging.getLogger(f"{library}.queue").warning("Task queue depth is %d", 3)

    line = json.loads(stream.getvalue())
    assert (line["event"], line["library"], line["message"]) == (
        "library_event",
        f"{library}.queue",
        "Task queue depth is 3",
    )
