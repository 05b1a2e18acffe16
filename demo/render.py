"""The demo's configuration files, made from the shipped ones: other addresses, credentials and intervals, same rules.

Pure functions from data to data; `demo.stack` reads and writes the files.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from demo.ports import LOOPBACK, Ports

INTERVAL = "5s"
REPLICAS = 3
SERVICE = "chat"
NODE = "demo"
MODEL = "tiny-llama"
SLOTS = 8
"""`max-num-seqs` to start with: far too low for the load."""

_SHIPPED_PORTS = Ports()
_ADDRESS = re.compile(r"(?P<scheme>https?://)?(?P<host>[A-Za-z0-9._-]+):(?P<port>\d+)(?=/|$)")

Edit = Callable[[str, Any], Any]


def prometheus_config(shipped: Mapping[str, Any], *, directory: Path, ports: Ports, token: Path) -> dict[str, Any]:
    """`rules/prometheus.yml` for this machine: `directory` is where its relative rule files lie."""

    def edit(key: str, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        if key in {"scrape_interval", "evaluation_interval", "refresh_interval"}:
            return INTERVAL
        if key == "scrape_timeout":
            return "4s"
        if key == "credentials_file":
            return str(token)
        return move_address(value, ports) if isinstance(value, str) else value

    config: dict[str, Any] = _edited(shipped, edit)
    config["global"] = {**config.get("global", {}), "scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    config["global"]["scrape_timeout"] = "4s"
    config["rule_files"] = [str(directory / pattern) for pattern in shipped.get("rule_files", [])]
    return config


def alertmanager_config(shipped: Mapping[str, Any], *, directory: Path, ports: Ports, token: Path) -> dict[str, Any]:
    """`alertmanager/alertmanager.yml` for this machine; it groups quickly as it is."""

    def edit(key: str, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        if key == "credentials_file":
            return str(token)
        return move_address(value, ports) if isinstance(value, str) else value

    config: dict[str, Any] = _edited(shipped, edit)
    if "templates" in shipped:
        config["templates"] = [str(directory / pattern) for pattern in shipped["templates"]]
    return config


def move_address(text: str, ports: Ports) -> str:
    """Point `host:port` or `http://host:port/…` of one of our servers at this machine; other text stays as it is."""
    match = _ADDRESS.match(text)
    if match is None:
        return text
    for name in ("recommender", "exporter", "prometheus", "alertmanager"):
        if int(match["port"]) == getattr(_SHIPPED_PORTS, name):
            return f"{match['scheme'] or ''}{LOOPBACK}:{getattr(ports, name)}{text[match.end() :]}"
    return text


def inventory(ports: Ports, engines: list[dict[str, Any]]) -> dict[str, Any]:
    """The simulated fleet; `engines` hold url, config_file and restart_command. Times are short, limits the usual."""
    return {
        "services": {
            SERVICE: {
                "engine": "vllm",
                "model": MODEL,
                "objectives": {"ttft_p95_seconds": 2.0, "itl_p95_seconds": 0.1, "error_ratio": 0.01},
                "replicas": [{**engine, "node": NODE} for engine in engines],
                "executor": {"type": "command", "ready_timeout_seconds": 60, "restart_timeout_seconds": 30},
                "policy": {"approval": "manual", "approval_ttl_seconds": 3600, "cooldown_seconds": 60},
                "verification": {
                    "settle_seconds": 20,
                    "window_seconds": 60,
                    "interval_seconds": 5,
                    "min_requests": 60,
                },
            }
        },
        "nodes": {NODE: {"exporter": f"{LOOPBACK}:{ports.exporter}"}},
    }


def engine_config(port: int) -> dict[str, Any]:
    """One engine's `--config` file."""
    return {
        "served-model-name": MODEL,
        "port": port,
        "max-model-len": 2048,
        "max-num-seqs": SLOTS,
        "max-num-batched-tokens": 2048,
        "gpu-memory-utilization": 0.9,
        "enable-prefix-caching": True,
    }


def tokens(files: Mapping[str, Path]) -> list[dict[str, str]]:
    """The recommender's tokens file: one entry a role, each naming the file that holds the token."""
    return [{"name": f"demo-{role}", "role": role, "token_file": str(path)} for role, path in files.items()]


def _edited(node: Any, edit: Edit, key: str = "") -> Any:  # noqa: ANN401 - any YAML value
    """A copy of `node` with `edit(key, value)` applied to every scalar; items of a list have the list's key."""
    if isinstance(node, Mapping):
        return {name: _edited(value, edit, str(name)) for name, value in node.items()}
    if isinstance(node, list):
        return [_edited(item, edit, key) for item in node]
    return edit(key, node)
