"""Whether the exporter registers with an orchestrator."""

import re
import socket
from pathlib import Path

import click

from exporters.errors import SettingsError
from exporters.inference.targets import TargetError, parse_endpoint
from exporters.options.group import Group, option
from exporters.settings import AgentSettings

# It stands in the path of a URL, and other parts show it to people.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _settings(
    *,
    orchestrator_url: str | None,
    orchestrator_path_prefix: str,
    orchestrator_heartbeat_interval: float,
    agent_id: str | None,
    agent_token_file: Path | None,
    exporter_url: str | None,
) -> AgentSettings | None:
    if not orchestrator_url:
        return None
    _check("--orchestrator-url", orchestrator_url)
    if exporter_url:
        _check("--exporter-url", exporter_url)
    agent_id = agent_id or socket.gethostname()
    if not _ID.fullmatch(agent_id):
        raise SettingsError(f"--agent-id {agent_id!r}: give up to 64 letters, digits, dots, dashes and underscores")
    return AgentSettings(
        orchestrator_url=orchestrator_url,
        path_prefix=orchestrator_path_prefix,
        heartbeat_seconds=orchestrator_heartbeat_interval,
        agent_id=agent_id,
        token_file=agent_token_file,
        exporter_url=exporter_url,
    )


def _check(flag: str, url: str) -> None:
    """Raise SettingsError for what is no http(s) URL; a host alone is not taken for one, for it may be any slip."""
    try:
        target = parse_endpoint(url, ()).root
    except TargetError as error:
        raise SettingsError(f"{flag}: {error}") from None
    if "://" not in url:
        raise SettingsError(f"{flag} {url!r}: write the scheme too, as in http://{target.netloc}")


GROUP = Group(
    _settings,
    (
        option(
            "--orchestrator-url",
            env=["OPTIINFRA_ORCHESTRATOR_URL", "ORCHESTRATOR_URL"],
            metavar="URL",
            text="Recommender or other orchestrator to register with. None when not given.",
        ),
        option(
            "--orchestrator-path-prefix",
            default="/api/v1",
            env=["OPTIINFRA_ORCHESTRATOR_PATH_PREFIX", "ORCHESTRATOR_PATH_PREFIX"],
            text="What stands before /agents/… in the orchestrator's paths; empty for those at the root.",
        ),
        option(
            "--orchestrator-heartbeat-interval",
            type=click.FloatRange(min=1, max=3600),
            default=30.0,
            env=["OPTIINFRA_ORCHESTRATOR_HEARTBEAT_INTERVAL", "ORCHESTRATOR_HEARTBEAT_INTERVAL"],
            metavar="SECONDS",
            text="How often to tell the orchestrator that this exporter lives.",
        ),
        option(
            "--agent-id",
            env=["OPTIINFRA_AGENT_ID", "AGENT_ID"],
            metavar="ID",
            text="Name to register under; the host's name when not given.",
        ),
        option(
            "--agent-token-file",
            type=click.Path(path_type=Path),
            env="OPTIINFRA_AGENT_TOKEN_FILE",
            text="File of the token (role agent) to register with; it may change while the exporter runs.",
        ),
        option(
            "--exporter-url",
            env="OPTIINFRA_EXPORTER_URL",
            metavar="URL",
            text="Where others reach this exporter, to tell the orchestrator; the listening address when not given.",
        ),
    ),
)
