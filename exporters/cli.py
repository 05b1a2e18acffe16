"""`optiinfra exporter`: flags and their environment twins, resolved once."""

from typing import Any

import click

from exporters.errors import SettingsError
from exporters.logs import LEVELS
from exporters.options import agent, blackbox, demo, gpu, host, node, probe, web
from exporters.options.group import option
from exporters.run import run
from exporters.settings import ExporterSettings


@click.command(context_settings={"show_default": True})
@web.GROUP
@node.GROUP
@host.GROUP
@gpu.GROUP
@demo.GROUP
@probe.GROUP
@blackbox.GROUP
@agent.GROUP
@option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    env=["OPTIINFRA_LOG_LEVEL", "LOG_LEVEL"],
    text="Least severe events to log.",
)
def exporter(*, log_level: str, **flags: Any) -> None:  # noqa: ANN401 - click's values; each group types its own
    """Serve this node's GPU and host metrics, and probe inference engines.

    Pages: /metrics, /probe?target=URL&engine=auto, /probe?module=NAME&target=URL, /healthz.
    """
    try:
        settings = ExporterSettings(
            web=web.GROUP.settings(flags),
            node=node.GROUP.settings(flags),
            host=host.GROUP.settings(flags),
            gpu=gpu.GROUP.settings(flags),
            demo=demo.GROUP.settings(flags),
            probe=probe.GROUP.settings(flags),
            blackbox=blackbox.GROUP.settings(flags),
            agent=agent.GROUP.settings(flags),
        )
        run(settings, log_level)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
