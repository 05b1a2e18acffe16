"""Which inference engines may be probed."""

import click

from exporters.inference.probe import MAX_BODY_BYTES
from exporters.options.group import Group, option, several
from exporters.settings import ProbeSettings


def _settings(*, probe_allow: tuple[str, ...], probe_max_bytes: int) -> ProbeSettings:
    return ProbeSettings(allow=probe_allow, max_bytes=probe_max_bytes)


GROUP = Group(
    _settings,
    (
        several(
            "--probe-allow",
            env="OPTIINFRA_PROBE_ALLOW",
            metavar="HOST:PORT,…",
            text="Engines that /probe may read: host:port, host:*, network/bits, network/bits:port. "
            "None when not given.",
        ),
        option(
            "--probe-max-bytes",
            type=click.IntRange(min=1),
            default=MAX_BODY_BYTES,
            env="OPTIINFRA_PROBE_MAX_BYTES",
            text="Largest engine page that a probe reads.",
        ),
    ),
)
