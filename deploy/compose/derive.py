"""Write deploy/compose/{prometheus,alertmanager}.yml: `python deploy/compose/derive.py`.

They are the shipped files with the addresses, credentials and folders of docker-compose.yml; nothing else differs.
"""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(__file__).resolve().parent
SHIPPED = {"prometheus.yml": "rules/prometheus.yml", "alertmanager.yml": "alertmanager/alertmanager.yml"}
SERVICES = {8002: "recommender", 8003: "exporter", 9090: "prometheus", 9093: "alertmanager"}
RULES_MOUNT = "/etc/prometheus/rules"
_LOOPBACK = re.compile(r"127\.0\.0\.1:(\d+)")
_TOKEN = re.compile(r"secrets/(\w+)\.token")


def derive(name: str) -> str:
    """Return the text of one derived file."""
    source = SHIPPED[name]
    config = _moved(yaml.safe_load((ROOT / source).read_text(encoding="utf-8")))
    if "rule_files" in config:
        config["rule_files"] = [f"{RULES_MOUNT}/{pattern}" for pattern in config["rule_files"]]
    header = f"# {source} with the addresses of docker-compose.yml. Written by deploy/compose/derive.py; do not edit.\n"
    return header + yaml.dump(config, Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    """Repeats shared nodes: aliases with made-up names read badly."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _moved(node: Any) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(node, dict):
        return {key: _moved(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_moved(item) for item in node]
    if isinstance(node, str):
        return _TOKEN.sub(r"/run/secrets/\1", _LOOPBACK.sub(_service_address, node))
    return node


def _service_address(match: re.Match[str]) -> str:
    port = int(match[1])
    return f"{SERVICES[port]}:{port}"


if __name__ == "__main__":
    for name in SHIPPED:
        (FOLDER / name).write_text(derive(name), encoding="utf-8")
