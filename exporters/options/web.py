"""Where the exporter listens and how it answers."""

from pathlib import Path

import click

from exporters.options.group import Group, option
from exporters.settings import WebSettings


def _settings(*, listen_address: str, port: int, web_config_file: Path | None, max_requests: int) -> WebSettings:
    return WebSettings(listen_address=listen_address, port=port, config_file=web_config_file, max_requests=max_requests)


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
        option(
            "--web-config-file",
            type=click.Path(path_type=Path),
            env="OPTIINFRA_EXPORTER_WEB_CONFIG_FILE",
            text="TLS, users and headers, as Prometheus's exporters have them. Plain HTTP for all when not given.",
        ),
        option(
            "--max-requests",
            type=click.IntRange(min=0),
            default=40,
            env="OPTIINFRA_EXPORTER_MAX_REQUESTS",
            text="Most requests for /metrics at once, beyond which they get 503; 0 is no bound.",
        ),
    ),
)
