"""Where the exporter listens and how it answers."""

import click

from exporters.options.group import Group, option
from exporters.settings import WebSettings


def _settings(*, listen_address: str, port: int) -> WebSettings:
    return WebSettings(listen_address=listen_address, port=port)


GROUP = Group(
    _settings,
    (
        option(
            "--listen-address",
            default="127.0.0.1",
            env="OPTIINFRA_EXPORTER_LISTEN_ADDRESS",
            text="Address to listen on.",
        ),
        option(
            "--port",
            type=click.IntRange(0, 65535),
            default=8003,
            env=["OPTIINFRA_EXPORTER_PORT", "PORT"],
            text="Port to listen on; 0 takes a free one.",
        ),
    ),
)
