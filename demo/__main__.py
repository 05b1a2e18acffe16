"""`python -m demo up|down`: the whole stack on this machine, and its end."""

import argparse
import os
import signal
import sys
from pathlib import Path

from demo import render
from demo.errors import DemoError
from demo.paths import ROOT, Paths
from demo.ports import Ports
from demo.stack import Binaries, Command, Stack
from demo.state import down, refuse_second
from demo.supervisor import STORY, supervise

RUN_VARIABLE = "OPTIINFRA_DEMO_DIR"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser("demo", description=__doc__, allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True)
    up = actions.add_parser("up", help="start everything and tell the story; Ctrl-C ends all of it")
    up.add_argument("--auto", action="store_true", help="approve, and end when the change is verified or has failed")
    up.add_argument("--deadline", type=float, default=600.0, help="seconds that --auto waits for the end")
    up.add_argument("--inventory", type=Path, help="your engines in place of the simulated ones")
    actions.add_parser("down", help="end a demo that runs in another terminal")
    return parser


def start(options: argparse.Namespace, paths: Paths) -> int:
    """Check, prepare and run; raises DemoError before anything was started."""
    refuse_second(paths.state)
    stack = Stack(
        paths=paths,
        ports=Ports.from_environment(os.environ),
        binaries=Binaries.find(os.environ.get("PATH")),
        own_inventory=options.inventory,
    )
    inventory = stack.check()
    services = [render.SERVICE] if inventory is None else sorted(inventory.services)
    if not services:
        raise DemoError(f"{options.inventory} names no service; describe your engines under 'services:'")
    stack.prepare()
    commands = [*stack.commands(), story(stack, services, auto=options.auto, deadline=options.deadline)]
    status = supervise(commands, paths, sys.stdout, cwd=ROOT)
    print(f"Everything has ended. Logs: {paths.logs}")
    interrupted = status in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    return 0 if interrupted and not options.auto else status


def story(stack: Stack, services: list[str], *, auto: bool, deadline: float) -> Command:
    """The process that tells the story."""
    ports, paths = stack.ports, stack.paths
    lines = [
        f"recommender   {ports.url('recommender')}  (API: {ports.url('recommender')}/openapi)",
        f"Prometheus    {ports.url('prometheus')}",
        f"Alertmanager  {ports.url('alertmanager')}",
        f"exporter      {ports.url('exporter')}/metrics",
        f"Grafana       {ports.url('grafana')}" if stack.binaries.grafana else "Grafana       not on PATH: left out",
        f"tokens        {paths.token('approver').parent}/<role>",
        f"inventory     {stack.inventory}",
        f"logs          {paths.logs}",
    ]
    arguments = [
        *(sys.executable, "-m", "demo.story"),
        *(f"--service={service}" for service in services),
        f"--prometheus-url={ports.url('prometheus')}",
        f"--recommender-url={ports.url('recommender')}",
        f"--token-file={paths.token('approver')}",
        f"--optiinfra={Path(sys.executable).with_name('optiinfra')}",
        *(f"--say={line}" for line in lines),
        *(["--auto", f"--deadline={deadline}"] if auto else []),
    ]
    colours = {"FORCE_COLOR": "1"} if sys.stdout.isatty() and "NO_COLOR" not in os.environ else {}
    return Command(STORY, tuple(arguments), {"PYTHONUNBUFFERED": "1", **colours})


def main() -> int:
    """Run from the command line; what a person can mend is one message and exit status 1."""
    options = build_parser().parse_args()
    paths = Paths(Path(os.environ.get(RUN_VARIABLE) or ROOT / "run").resolve())
    try:
        if options.action == "down":
            print(down(paths.state))
            return 0
        return start(options, paths)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
