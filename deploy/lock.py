"""Write the requirements*.lock files: `python deploy/lock.py` (what `make lock` calls).

Asks pip to resolve pyproject.toml from scratch and keeps name and version only, so that the files name no index.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (
    ("requirements.lock", "what OptiInfra runs on", ()),
    ("requirements-dev.lock", "everything needed to run, test and lint", ("--group", "dev")),
    ("requirements-fuzz.lock", "what OptiInfra runs on and is fuzzed with", ("--group", "fuzz")),
)


def resolve(arguments: tuple[str, ...]) -> list[str]:
    """The pinned requirements that pip would install for this project, sorted."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"),
        *(".", *arguments),
    ]
    report = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    packages = (item["metadata"] for item in report["install"])
    return sorted(
        f"{package['name'].lower().replace('_', '-')}=={package['version']}"
        for package in packages
        if package["name"] != "optiinfra"
    )


for file, purpose, arguments in LOCKS:
    header = f"# Exact versions of {purpose}.\n# Made by `make lock` from pyproject.toml. Do not edit.\n"
    (ROOT / file).write_text(header + "\n".join(resolve(arguments)) + "\n")
