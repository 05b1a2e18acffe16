"""Log set-up: events with fields, for people on a terminal, as JSON lines elsewhere."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

LEVELS = ("debug", "info", "warning", "error")


def logger(level: str, stream: TextIO = sys.stderr) -> FilteringBoundLogger:
    """Make a logger that writes events of `level` and above to `stream`."""
    render: list[Processor]
    if stream.isatty():
        render = [structlog.dev.ConsoleRenderer()]
    else:
        # Without the values of local variables: a log is no place for what a request carried.
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        render = [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    bound: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
    return bound


class _Forward(logging.Handler):
    """Turns a library's log records into our events."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, "library_event", library=record.name, message=record.getMessage())


def forward(library: str, log: FilteringBoundLogger) -> None:
    """Send what a library logs through the standard library to `log`, and nowhere else."""
    records = logging.getLogger(library)
    records.handlers = [_Forward(log)]
    records.propagate = False
