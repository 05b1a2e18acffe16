"""The command executor with real files, real commands and a real health endpoint."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recommender import executors
from recommender.contracts import Executor, ReplicaTarget
from recommender.errors import ExecutorError, ExecutorTimeout
from recommender.executors.command import CommandExecutor
from recommender.model import Change, Risk, Snapshot

OLD = "# options\nmax-num-seqs: 8 # low\n"
NEW = "# options\nmax-num-seqs: 16 # low\n"
CHANGE = Change(
    knob="max_running_requests",
    engine="vllm",
    flag="--max-num-seqs",
    config_key="max-num-seqs",
    old=8,
    new=16,
    reason="test",
    formula="2 x old",
    risk=Risk.RESTART,
)
PATH = {"PATH": "/usr/bin:/bin"}


def replica(folder: Path, script: str = 'echo x >> "$0/restarts"', **update: object) -> ReplicaTarget:
    target = ReplicaTarget(
        service="chat",
        instance="127.0.0.1:8000",
        url="http://127.0.0.1:8000",
        engine="vllm",
        config_file=str(folder / "engine.yml"),
        restart_command=("sh", "-c", script, str(folder)),
        restart_timeout_seconds=10,
    )
    return replace(target, **update)  # type: ignore[arg-type] - fields of the dataclass


def restarts(folder: Path) -> int:
    log = folder / "restarts"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "engine.yml"
    path.write_text(OLD)
    return path


@pytest.fixture
def executor() -> CommandExecutor:
    return CommandExecutor(PATH)


def test_it_reads_the_configuration_file(tmp_path: Path, config: Path, executor: CommandExecutor) -> None:
    assert executor.read(replica(tmp_path)) == {"max-num-seqs": 8}
    config.unlink()
    assert executor.read(replica(tmp_path)) == {}


def test_a_change_is_written_restarted_once_and_recorded(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    executor.apply(replica(tmp_path), CHANGE)
    executor.apply(replica(tmp_path), CHANGE)
    assert config.read_text() == NEW
    assert restarts(tmp_path) == 1
    assert json.loads((tmp_path / "engine.yml.optiinfra.json").read_text())["stage"] == "running"


def test_a_file_that_already_holds_the_value_is_restarted_because_the_engine_may_not_run_with_it(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    config.write_text(NEW)
    executor.apply(replica(tmp_path), CHANGE)
    assert restarts(tmp_path) == 1


def test_restoring_gives_the_file_back_byte_for_byte(tmp_path: Path, config: Path, executor: CommandExecutor) -> None:
    config.write_bytes(OLD.replace("\n", "\r\n").encode() + b"# no end of line")
    before = config.read_bytes()
    snapshot = executor.snapshot(replica(tmp_path))
    executor.apply(replica(tmp_path), CHANGE)
    executor.restore(replica(tmp_path), Snapshot.model_validate_json(snapshot.model_dump_json()))
    executor.restore(replica(tmp_path), snapshot)
    assert config.read_bytes() == before
    assert restarts(tmp_path) == 2


def test_restoring_what_was_never_touched_restarts_nothing(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    executor.restore(replica(tmp_path), executor.snapshot(replica(tmp_path)))
    assert restarts(tmp_path) == 0
    assert config.read_text() == OLD


def test_the_same_change_again_after_a_restore_is_applied_again(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    snapshot = executor.snapshot(replica(tmp_path))
    executor.apply(replica(tmp_path), CHANGE)
    executor.restore(replica(tmp_path), snapshot)
    executor.apply(replica(tmp_path), CHANGE)
    assert (config.read_text(), restarts(tmp_path)) == (NEW, 3)


def test_an_engine_without_a_file_gets_one_and_loses_it_again(tmp_path: Path, executor: CommandExecutor) -> None:
    snapshot = executor.snapshot(replica(tmp_path))
    executor.apply(replica(tmp_path), CHANGE)
    assert (tmp_path / "engine.yml").read_text() == "max-num-seqs: 16\n"
    executor.restore(replica(tmp_path), snapshot)
    assert not (tmp_path / "engine.yml").exists()
    assert restarts(tmp_path) == 2


def test_a_failed_restart_is_an_error_with_the_code_and_the_output_and_is_repeated(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    broken = replica(tmp_path, "echo no such unit >&2; exit 5")
    with pytest.raises(ExecutorError, match="the restart command ended with code 5: no such unit"):
        executor.apply(broken, CHANGE)
    executor.apply(replica(tmp_path), CHANGE)
    assert (config.read_text(), restarts(tmp_path)) == (NEW, 1)


def test_a_restart_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    hanging = replica(tmp_path, 'sleep 60 & echo $! > "$0/pid"; wait', restart_timeout_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(ExecutorTimeout, match=r"did not end in 0\.3 s"):
        executor.apply(hanging, CHANGE)
    assert time.monotonic() - began < 10
    child = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    while _runs(child):  # the signal was sent; when it arrives is up to the kernel
        assert time.monotonic() - began < 10
        time.sleep(0.01)
    assert config.exists()


def _runs(stat: Path) -> bool:
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_engine_started_in_the_background_does_not_hold_the_executor_up(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    began = time.monotonic()
    executor.apply(replica(tmp_path, 'sleep 30 & echo $! > "$0/pid"'), CHANGE)
    took = time.monotonic() - began
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert took < 5
    assert config.read_text() == NEW


def test_a_command_that_is_not_there_is_named(tmp_path: Path, config: Path, executor: CommandExecutor) -> None:
    with pytest.raises(ExecutorError, match="`no-such-program` cannot be run: No such file or directory"):
        executor.apply(replica(tmp_path, restart_command=("no-such-program",)), CHANGE)
    assert config.exists()


def test_arguments_reach_the_command_as_they_are_and_no_shell_looks_at_them(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    odd = "a b; touch pwned $(touch pwned) * '"
    script = 'import sys; open(sys.argv[1], "w").write(sys.argv[2])'
    target = replica(tmp_path, restart_command=("python3", "-c", script, str(tmp_path / "seen"), odd))
    executor.apply(target, CHANGE)
    assert (tmp_path / "seen").read_text() == odd
    assert config.read_text() == NEW


def test_our_own_secrets_do_not_reach_the_command(tmp_path: Path, config: Path) -> None:
    ours = {"OPTIINFRA_TOKENS_FILE": "t", "DATABASE_URL": "d", "GROQ_API_KEY": "g"}
    executor = CommandExecutor({**PATH, **ours, "CUDA_VISIBLE_DEVICES": "0"})
    executor.apply(replica(tmp_path, 'env > "$0/env"'), CHANGE)
    seen = (tmp_path / "env").read_text()
    assert "CUDA_VISIBLE_DEVICES=0" in seen
    assert not [name for name in ours if name in seen]
    assert config.read_text() == NEW


@pytest.mark.parametrize(
    ("missing", "says"),
    [({"config_file": None}, "has no config_file"), ({"restart_command": ()}, "has no restart_command")],
)
def test_an_inventory_that_lacks_something_is_told_what(
    tmp_path: Path, config: Path, executor: CommandExecutor, missing: dict[str, object], says: str
) -> None:
    with pytest.raises(ExecutorError, match=f"{says} in the inventory: add it, or use the executor dry_run"):
        executor.apply(replica(tmp_path, **missing), CHANGE)
    assert config.read_text() == OLD


def test_a_snapshot_of_another_executor_or_a_damaged_one_is_refused(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    with pytest.raises(ExecutorError, match="was taken by `dry_run`"):
        executor.restore(replica(tmp_path), Snapshot(executor="dry_run", content=None))
    damaged = executor.snapshot(replica(tmp_path)).model_copy(update={"content": "rm: all\n"})
    with pytest.raises(ExecutorError, match="is damaged"):
        executor.restore(replica(tmp_path), damaged)
    assert config.read_text() == OLD


def test_a_receipt_that_we_did_not_write_is_said(tmp_path: Path, config: Path, executor: CommandExecutor) -> None:
    config.write_text(NEW)
    (tmp_path / "engine.yml.optiinfra.json").write_text("{}")
    with pytest.raises(ExecutorError, match="is not what OptiInfra wrote"):
        executor.apply(replica(tmp_path), CHANGE)


# -- readiness


@contextmanager
def endpoint(answers: Mapping[str, int]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers.get(self.path, 404))
            self.send_header("Location", "/health")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("path", "ready"), [("/health", True), ("/busy", False), ("/moved", False), ("/absent", False), ("/created", False)]
)
def test_only_a_200_from_the_path_itself_is_ready(
    tmp_path: Path, executor: CommandExecutor, path: str, ready: bool
) -> None:
    with endpoint({"/health": 200, "/busy": 503, "/moved": 302, "/created": 201}) as url:
        assert executor.ready(replica(tmp_path, url=url, ready_path=path)) is ready


def test_nothing_listening_is_not_ready(tmp_path: Path, executor: CommandExecutor) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert executor.ready(replica(tmp_path, url=url)) is False


def test_an_address_that_cannot_be_asked_is_unknown(tmp_path: Path, executor: CommandExecutor) -> None:
    assert executor.ready(replica(tmp_path, url="ftp://127.0.0.1:1")) is None


# -- dry run


def test_the_dry_run_touches_nothing_and_knows_what_the_file_says(tmp_path: Path, config: Path) -> None:
    dry: Executor = executors.build(PATH)["dry_run"]
    target = replica(tmp_path)
    dry.apply(target, CHANGE)
    dry.restore(target, dry.snapshot(target))
    assert (dict(dry.read(target)), dry.ready(target)) == ({"max-num-seqs": 8}, None)
    assert dry.read(replica(tmp_path, config_file=None)) == {}
    assert config.read_text() == OLD
    assert list(tmp_path.iterdir()) == [config]


def test_executors_are_found_by_the_names_of_the_inventory() -> None:
    assert sorted(executors.build(PATH)) == ["command", "dry_run"]


def test_a_restart_that_outlived_a_killed_recommender_is_waited_for_before_the_next(
    tmp_path: Path, config: Path, executor: CommandExecutor
) -> None:
    script = 'echo start >> "$0/restarts"; sleep 1; echo end >> "$0/restarts"'
    target = replica(tmp_path, script)
    program = (
        "import sys; from recommender.contracts import ReplicaTarget; from recommender.model import Change; "
        "from recommender.executors.command import CommandExecutor; "
        f"CommandExecutor({PATH!r}).apply({target!r}, Change.model_validate_json(sys.argv[1]))"
    )
    killed = subprocess.Popen([sys.executable, "-c", program, CHANGE.model_dump_json()])
    deadline = time.monotonic() + 20
    while '"restart"' not in _receipt_text(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    executor.apply(target, CHANGE)

    assert (tmp_path / "restarts").read_text().split() == ["start", "end", "start", "end"]
    assert config.read_text() == NEW


def _receipt_text(folder: Path) -> str:
    receipt = folder / "engine.yml.optiinfra.json"
    return receipt.read_text() if receipt.exists() else ""
