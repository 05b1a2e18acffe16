"""`python -m demo.restart PIDFILE`: the fixed restart command of the demo's inventory.

Asks the keeper for a restart and returns when the old process is gone and a new one has been started; whether that
one becomes ready is for the caller to find out. Exit status 0: restarted; 1: not, with the reason on stderr.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from demo.keeper import Pids

POLL_SECONDS = 0.05


class RestartError(Exception):
    """Why nothing was restarted."""


def restart(pid_file: Path, *, timeout: float, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> Pids:
    """Restart the process that the keeper of `pid_file` keeps; returns the new pids. Raises RestartError."""
    before = _read(pid_file)
    _check_keeper(before.keeper, pid_file)
    os.kill(before.keeper, signal.SIGHUP)
    deadline = monotonic() + timeout
    while monotonic() < deadline:
        now = _read(pid_file)
        if now.starts > before.starts:  # a count, because a process that dies at once may never be seen alive
            return now
        sleep(POLL_SECONDS)
    raise RestartError(f"the keeper {before.keeper} started no new process within {timeout:g} s; see its log")


def _read(pid_file: Path) -> Pids:
    try:
        return Pids.read(pid_file)
    except OSError as error:
        raise RestartError(f"cannot read {pid_file}: {error.strerror}; is the engine's keeper running?") from error
    except ValueError as error:
        raise RestartError(str(error)) from error


def _check_keeper(pid: int, pid_file: Path) -> None:
    """Signal only what is a keeper: the file may be a leftover and its pid another process by now."""
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        raise RestartError(f"{pid_file} is stale: its keeper {pid} does not run any more") from None
    if "demo.keeper" not in " ".join(command):
        raise RestartError(f"{pid_file} is stale: process {pid} is not a keeper")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser("demo.restart", description=__doc__, allow_abbrev=False)
    parser.add_argument("pid_file", type=Path)
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds")
    options = parser.parse_args()
    try:
        pids = restart(options.pid_file, timeout=options.timeout, monotonic=time.monotonic, sleep=time.sleep)
    except RestartError as error:
        print(f"demo.restart: {error}", file=sys.stderr)
        return 1
    print(f"restarted: start {pids.starts}, process {pids.child or 'ended again'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
