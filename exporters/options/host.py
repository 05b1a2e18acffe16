"""Where this machine's kernel files are, and which of its processes are engines."""

from pathlib import Path
from typing import Any, ClassVar

import click

from exporters.errors import SettingsError
from exporters.host.patterns import EnginePattern, shipped_patterns
from exporters.options.group import Group, option
from exporters.settings import HostSettings


class _Line(click.types.StringParamType):
    """A text that holds commas and spaces: in the environment, one a line."""

    envvar_list_splitter: ClassVar[str] = "\n"


def _settings(*, procfs: Path, sysfs: Path, rootfs: Path, engine_process: tuple[str, ...]) -> HostSettings:
    try:
        patterns = tuple(EnginePattern.parse(line.lstrip()) for line in engine_process if line.strip())
    except SettingsError as error:
        raise SettingsError(f"--engine-process {error}") from error
    return HostSettings(procfs, sysfs, rootfs, patterns or shipped_patterns())


def _mounted(flag: str, at: str, what: str) -> Any:  # noqa: ANN401 - click's decorator
    return option(
        flag,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=at,
        env=f"OPTIINFRA_EXPORTER_{flag.strip('-').upper()}",
        text=f"Where {what} of the machine to read is mounted; in a container, where the host's is.",
    )


GROUP = Group(
    _settings,
    (
        _mounted("--procfs", "/proc", "the proc file system"),
        _mounted("--sysfs", "/sys", "the sys file system"),
        _mounted("--rootfs", "/", "the root file system"),
        option(
            "--engine-process",
            type=_Line(),
            multiple=True,
            metavar="NAME=REGEX",
            env="OPTIINFRA_EXPORTER_ENGINE_PROCESS",
            text="Engine processes by a regular expression over their command lines, the name being their label; "
            "replaces the shipped patterns ("
            + ", ".join(pattern.name for pattern in shipped_patterns())
            + "). May be repeated; one a line in the environment.",
        ),
    ),
)
