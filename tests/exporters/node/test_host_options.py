"""Flags of the host collectors and their environment twins."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from exporters.host.patterns import shipped_patterns
from exporters.options import host
from exporters.settings import HostSettings


@pytest.fixture(name="resolved")
def _resolved() -> list[HostSettings]:
    return []


@pytest.fixture(name="command")
def _command(resolved: list[HostSettings]) -> click.Command:
    @click.command()
    @host.GROUP
    def command(**flags: object) -> None:
        resolved.append(host.GROUP.settings(flags))

    return command


def test_without_flags_it_is_this_machine_and_the_shipped_patterns(
    command: click.Command, resolved: list[HostSettings]
) -> None:
    assert CliRunner().invoke(command, []).exit_code == 0
    [settings] = resolved

    assert (settings.procfs, settings.sysfs, settings.rootfs) == (Path("/proc"), Path("/sys"), Path("/"))
    assert settings.engine_processes == shipped_patterns()


@pytest.mark.parametrize("by", ["flags", "environment"])
def test_patterns_may_hold_commas_and_spaces(command: click.Command, resolved: list[HostSettings], by: str) -> None:
    patterns = ["vllm=vllm serve (a|b){1,2}", "mine=^/opt/my engine "]
    arguments = [f"--engine-process={pattern}" for pattern in patterns] if by == "flags" else []
    env = {"OPTIINFRA_EXPORTER_ENGINE_PROCESS": "\n  ".join([*patterns, ""])} if by == "environment" else {}
    assert CliRunner().invoke(command, arguments, env=env).exit_code == 0
    [settings] = resolved

    assert [(one.name, one.command.pattern) for one in settings.engine_processes] == [
        ("vllm", "vllm serve (a|b){1,2}"),
        ("mine", "^/opt/my engine "),
    ]


@pytest.mark.parametrize("flag", ["--procfs", "--sysfs", "--rootfs"])
def test_a_directory_that_is_not_there_is_refused_with_its_flag(command: click.Command, flag: str) -> None:
    result = CliRunner().invoke(command, [flag, "/no/such/place"])

    assert result.exit_code == 2
    assert flag in result.output
