"""Engine processes: which they are, what they used, and what may not be seen."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.cli import exporter
from exporters.errors import NoData, SettingsError
from exporters.host.patterns import EnginePattern, name_of, shipped_patterns
from exporters.host.process import EngineProcesses
from exporters.host.tree import HostTree

ValueOf = Callable[..., float | None]

DATA = Path(__file__).parents[2] / "data" / "node_exporter"
ENGINES = {
    "vllm": [
        "/usr/bin/python3 /usr/local/bin/vllm serve meta-llama/Llama-3.1-8B --port 8000",
        "python -m vllm.entrypoints.openai.api_server --model m",
        "VLLM::EngineCore_DP0",
        "VLLM::Worker_TP1",
    ],
    "sglang": ["python3 -m sglang.launch_server --model-path m", "sglang::scheduler_TP0", "sglang::detokenizer"],
    "tgi": ["text-generation-launcher --model-id m", "/usr/local/bin/text-generation-router --port 80"],
    "triton": ["/opt/tritonserver/bin/tritonserver --model-repository=/models", "tritonserver"],
    "tensorrt_llm": ["/usr/bin/python3 /usr/local/bin/trtllm-serve m", "trtllm-llmapi-launch trtllm-serve m"],
    "llamacpp": ["/app/llama-server -m model.gguf", "llama-server"],
    "ollama": ["/usr/bin/ollama serve", "/usr/bin/ollama runner --model /root/.ollama/models/blobs/sha256-1"],
}
OTHERS = [
    "bash -c tail -f vllm.log",
    "vim tritonserver.md",
    "python -m http.server",
    "ollama list",
    "grep llama-server",
]


@pytest.fixture(name="machine")
def _machine(tree: HostTree, tmp_path: Path) -> HostTree:
    """The recorded machine in a place where it can be moved on to the second instant."""
    shutil.copytree(tree.procfs, tmp_path / "proc")
    shutil.copytree(tree.sysfs, tmp_path / "sys")
    return replace(tree, procfs=tmp_path / "proc", sysfs=tmp_path / "sys")


@pytest.fixture(name="processes")
def _processes(machine: HostTree) -> EngineProcesses:
    return EngineProcesses(machine, shipped_patterns())


@pytest.fixture(name="move_on")
def _move_on(machine: HostTree) -> Callable[[], None]:
    """Make the machine the one that was recorded fifteen seconds later."""

    def move() -> None:
        shutil.rmtree(machine.procfs)
        shutil.copytree(DATA / "later" / "proc", machine.procfs)

    return move


@pytest.mark.parametrize(("name", "command"), [(name, line) for name, lines in ENGINES.items() for line in lines])
def test_the_shipped_patterns_know_an_engine_by_its_command(name: str, command: str) -> None:
    assert name_of(command, shipped_patterns()) == name


@pytest.mark.parametrize("command", OTHERS)
def test_the_shipped_patterns_take_nothing_else_for_an_engine(command: str) -> None:
    assert name_of(command, shipped_patterns()) is None


@pytest.mark.parametrize("text", ["vllm", "=x", "vllm=", "Big=x", "a b=x", "vllm=(", "x" * 64 + "=y"])
def test_a_pattern_that_cannot_be_used_is_refused_with_the_flag(text: str) -> None:
    with pytest.raises(SettingsError):
        EnginePattern.parse(text)

    result = CliRunner().invoke(exporter, ["--port=0", f"--engine-process={text}"])
    assert result.exit_code == 2
    assert "--engine-process" in result.output


def test_processes_are_grouped_under_the_name_of_their_pattern(processes: EngineProcesses, value_of: ValueOf) -> None:
    metrics = processes.sample().metrics()

    assert value_of(metrics, "host_process_instances", process="vllm") == 2
    assert value_of(metrics, "host_process_threads", process="vllm") == 4
    assert value_of(metrics, "host_process_resident_memory_bytes", process="vllm") == (262144 + 2097152) * 4096
    assert value_of(metrics, "host_process_open_fds", process="llamacpp") == 2


def test_a_command_line_shows_nowhere(processes: EngineProcesses) -> None:
    shown = {value for metric in processes.sample().metrics() for s in metric.samples for value in s.labels.values()}

    assert shown == {"vllm", "llamacpp", "user", "system"}


def test_what_was_used_before_the_first_sample_is_not_counted(processes: EngineProcesses, value_of: ValueOf) -> None:
    metrics = processes.sample().metrics()

    assert value_of(metrics, "host_process_cpu_seconds_total", process="vllm", mode="user") == 0
    assert value_of(metrics, "host_process_busiest_thread_cpu_seconds_total", process="vllm") == 0


def test_from_sample_to_sample_cpu_time_adds_up_and_the_busiest_thread_is_found(
    processes: EngineProcesses, move_on: Callable[[], None], value_of: ValueOf
) -> None:
    processes.sample()
    move_on()
    metrics = processes.sample().metrics()

    used = {mode: value_of(metrics, "host_process_cpu_seconds_total", process="vllm", mode=mode) for mode in
            ("user", "system")}  # fmt: skip
    assert used == {"user": pytest.approx(4.50 + 16.05), "system": pytest.approx(0.60 + 5.60)}
    # the core's main thread: 9 s in user and 5.4 s in system mode of the 15 s between
    busiest = value_of(metrics, "host_process_busiest_thread_cpu_seconds_total", process="vllm")
    assert busiest == pytest.approx(14.4)


def test_a_process_that_ends_takes_nothing_from_the_counters(
    processes: EngineProcesses, machine: HostTree, move_on: Callable[[], None], value_of: ValueOf
) -> None:
    processes.sample()
    move_on()
    before = processes.sample().metrics()
    shutil.rmtree(machine.procfs / "4200")
    after = processes.sample().metrics()

    for labels in ({"mode": "user"}, {"mode": "system"}):
        used = [value_of(m, "host_process_cpu_seconds_total", process="vllm", **labels) for m in (before, after)]
        assert used[0] == used[1]
    assert value_of(after, "host_process_instances", process="vllm") == 1


def test_a_process_that_began_since_the_last_sample_counts_in_full_and_an_older_one_that_matches_only_now_does_not(
    machine: HostTree, move_on: Callable[[], None], value_of: ValueOf
) -> None:
    processes = EngineProcesses(machine, (EnginePattern("engine", re.compile("llama-server|^renamed|^young")),))
    processes.sample()
    move_on()
    for pid, title, began in (("4500", "young", 217500), ("4600", "renamed", 216000)):
        shutil.copytree(machine.procfs / "4400", machine.procfs / pid)
        (machine.procfs / pid / "cmdline").write_text(title)
        stat = machine.procfs / pid / "stat"
        columns = stat.read_text().split()
        columns[13], columns[14], columns[21] = "300", "0", str(began)
        stat.write_text(" ".join(columns))
    metrics = processes.sample().metrics()

    # 90 ticks of the llama-server, 300 of the young one
    used = value_of(metrics, "host_process_cpu_seconds_total", process="engine", mode="user")
    assert used == pytest.approx(3.9)


def test_a_number_that_is_used_again_is_another_process(
    processes: EngineProcesses, machine: HostTree, value_of: ValueOf
) -> None:
    processes.sample()
    stat = machine.procfs / "4300" / "stat"
    stat.write_text(stat.read_text().replace(" 5000 300 ", " 20 10 ").replace(" 150000 ", " 216900 "))
    metrics = processes.sample().metrics()

    used = value_of(metrics, "host_process_cpu_seconds_total", process="llamacpp", mode="user")
    assert used == pytest.approx(0.2)


def test_a_process_that_goes_away_while_it_is_read_is_left_out(
    processes: EngineProcesses, machine: HostTree, value_of: ValueOf
) -> None:
    (machine.procfs / "4100" / "stat").unlink()
    (machine.procfs / "4200" / "task" / "4233" / "stat").unlink()
    metrics = processes.sample().metrics()

    assert value_of(metrics, "host_process_instances", process="vllm") == 1
    assert value_of(metrics, "host_process_threads", process="vllm") == 1


def test_open_files_that_cannot_all_be_counted_are_unknown(
    processes: EngineProcesses, machine: HostTree, value_of: ValueOf
) -> None:
    shutil.rmtree(machine.procfs / "4100" / "fd")
    metrics = processes.sample().metrics()

    assert value_of(metrics, "host_process_open_fds", process="vllm") is None
    assert value_of(metrics, "host_process_open_fds", process="llamacpp") == 2


def test_periods_of_a_cpu_quota_are_counted_while_watched_and_limits_are_the_tightest(
    machine: HostTree, processes: EngineProcesses, move_on: Callable[[], None], value_of: ValueOf
) -> None:
    processes.sample()
    move_on()
    cpu_stat = machine.sysfs / "fs" / "cgroup" / "system.slice" / "vllm.service" / "cpu.stat"
    cpu_stat.write_text((DATA / "later" / "sys" / cpu_stat.relative_to(machine.sysfs)).read_text())
    metrics = processes.sample().metrics()

    assert value_of(metrics, "host_process_cpu_periods_total", process="vllm") == 150
    assert value_of(metrics, "host_process_cpu_throttled_periods_total", process="vllm") == 45
    assert value_of(metrics, "host_process_cpu_limit", process="vllm") == 4
    assert value_of(metrics, "host_process_memory_limit_bytes", process="vllm") == 32 * 2**30
    # no quota: none of its periods was throttled, and there is no limit
    assert value_of(metrics, "host_process_cpu_throttled_periods_total", process="llamacpp") == 0
    assert value_of(metrics, "host_process_cpu_limit", process="llamacpp") is None
    assert value_of(metrics, "host_process_memory_limit_bytes", process="llamacpp") is None


@pytest.mark.parametrize(
    "membership",
    [
        "5:cpu,cpuacct:/vllm\n1:name=systemd:/vllm\n",
        "0::/\n",
        "0::/../../vllm.service\n",
        "0::/not/mounted/here\n",
        None,
    ],
    ids=["version 1", "root", "another namespace", "unseen", "unreadable"],
)
def test_limits_that_cannot_be_seen_are_unknown(
    processes: EngineProcesses, machine: HostTree, value_of: ValueOf, membership: str | None
) -> None:
    for pid in ("4100", "4200"):
        path = machine.procfs / pid / "cgroup"
        if membership is None:
            path.unlink()
        else:
            path.write_text(membership)
    metrics = processes.sample().metrics()

    assert value_of(metrics, "host_process_instances", process="vllm") == 2
    assert value_of(metrics, "host_process_cpu_periods_total", process="vllm") is None
    assert value_of(metrics, "host_process_cpu_limit", process="vllm") is None
    assert value_of(metrics, "host_process_cpu_limit", process="llamacpp") is None


def test_both_hierarchies_at_once_are_found_under_unified(
    processes: EngineProcesses, machine: HostTree, value_of: ValueOf
) -> None:
    root = machine.sysfs / "fs" / "cgroup"
    shutil.copytree(root / "system.slice", root / "unified" / "system.slice")
    shutil.rmtree(root / "system.slice")

    assert value_of(processes.sample().metrics(), "host_process_cpu_limit", process="vllm") == 4


def test_a_process_that_becomes_an_engine_is_found_within_twelve_looks_and_a_new_one_at_once(
    machine: HostTree, value_of: ValueOf
) -> None:
    processes = EngineProcesses(machine, shipped_patterns())
    processes.sample()
    (machine.procfs / "4400" / "cmdline").write_text("vllm serve m")
    shutil.copytree(machine.procfs / "4300", machine.procfs / "4301")
    seen = [processes.sample().metrics() for _ in range(12)]

    assert value_of(seen[0], "host_process_instances", process="llamacpp") == 2
    assert [value_of(metrics, "host_process_instances", process="vllm") for metrics in seen] == [2] * 11 + [3]


def test_an_engine_whose_number_goes_to_another_program_is_one_no_more(
    processes: EngineProcesses, machine: HostTree, value_of: ValueOf
) -> None:
    processes.sample()
    (machine.procfs / "4300" / "cmdline").write_text("sleep 60")

    assert value_of(processes.sample().metrics(), "host_process_instances", process="llamacpp") is None


def test_no_engine_is_no_data(machine: HostTree) -> None:
    with pytest.raises(NoData, match="--engine-process"):
        EngineProcesses(machine, (EnginePattern("engine", re.compile("no such thing")),)).sample()


BUSY = """
import sys, threading, time
idle = threading.Thread(target=sys.stdin.read)
idle.start()
until = time.thread_time() + 0.5
while time.thread_time() < until:
    pass
print("done", flush=True)
idle.join()
"""


def test_a_real_thread_that_works_is_the_busiest_by_the_time_that_it_took(value_of: ValueOf) -> None:
    marker = f"busy-engine-{os.getpid()}"
    processes = EngineProcesses(HostTree.of_this_machine(), (EnginePattern("it", re.compile(f" {marker}$")),))
    with pytest.raises(NoData):
        processes.sample()
    command = [sys.executable, "-c", BUSY, marker]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "done\n"
        metrics = processes.sample().metrics()
        engine.communicate(timeout=30)

    assert value_of(metrics, "host_process_threads", process="it") == 2
    user, system = (
        value_of(metrics, "host_process_cpu_seconds_total", process="it", mode=mode) for mode in ("user", "system")
    )
    busiest = value_of(metrics, "host_process_busiest_thread_cpu_seconds_total", process="it")
    assert user is not None
    assert system is not None
    assert busiest is not None
    assert user + system >= 0.5
    assert busiest == pytest.approx(user + system, abs=0.05)  # the idle one's, and two ticks of rounding


PROGRAM = """
import os, re, sys
from exporters.host.patterns import EnginePattern
from exporters.host.process import EngineProcesses
from exporters.host.tree import HostTree
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
samples = EngineProcesses(HostTree.of_this_machine(), (EnginePattern("it", re.compile(sys.argv[1])),)).sample()
print([metric.name for metric in samples.metrics()])
"""


def test_a_process_of_another_user_gives_what_may_be_seen_and_no_zero() -> None:
    marker = f"another-users-process-{os.getpid()}"
    other = subprocess.Popen(["sh", "-c", f"read x; : {marker}"], stdin=subprocess.PIPE)
    command = [sys.executable, "-c", PROGRAM, f"^sh .*{marker}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    finally:
        other.communicate(timeout=30)

    assert "host_process_cpu_seconds" in done.stdout
    # who is not root here cannot start a process of another user, and sees the files of his own
    assert ("host_process_open_fds" in done.stdout) == (os.geteuid() != 0)
