"""Whether and how completions are asked of endpoints."""

from pathlib import Path

import click

from exporters.options.group import Group, option
from exporters.settings import BlackboxSettings


def _settings(*, blackbox_config: Path | None) -> BlackboxSettings:
    return BlackboxSettings(config_file=blackbox_config)


GROUP = Group(
    _settings,
    (
        option(
            "--blackbox-config",
            type=click.Path(path_type=Path),
            env="OPTIINFRA_BLACKBOX_CONFIG",
            text="Modules of /probe?module=…, which asks an endpoint for a few tokens. Off when not given.",
        ),
    ),
)
