"""`python -m demo.story`: follows one change from traffic to verdict and tells it, a line at a time.

Reads only what everybody can read: Prometheus and the recommender's API. Exit status 0 when the change is verified;
1 when it is not, or not in time (`--auto`). Without `--auto` it goes on telling until it is ended.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from demo import wording
from demo.readings import Figures, Prometheus, Recommender, Unreadable

POLL_SECONDS = 1.0
FIGURES_SECONDS = 10.0
QUIET_FIGURES_SECONDS = 60.0
START_SECONDS = 90.0
STATES = {
    "pending_approval": "the plan waits for approval",
    "approved": "approved",
    "canary": "canary: one replica is changed and compared with the others",
    "rolling_out": "rolling out to the other replicas",
    "validating": "validating the whole service against its objectives",
    "succeeded": "done: the change is verified",
    "rejected": "rejected",
    "expired": "expired before anybody approved it",
    "cancelled": "cancelled",
    "superseded": "superseded by a newer plan",
    "rolling_back": "rolling back",
    "rolled_back": "rolled back",
    "rollback_failed": "the roll-back failed: a person must look",
    "advised": "advice only: nothing to carry out",
}
UNDECIDED = ("pending_approval",)
NO_PLAN = {
    "refused": "refused by the policy",
    "not_enough_evidence": "not enough evidence yet",
    "no_plan": "no playbook applies",
    "prometheus_unreachable": "Prometheus does not answer",
    "failed": "looking at the alert failed",
}
"""Outcomes of an alert without a plan that a person should hear of."""
FAILED = ("rejected", "expired", "cancelled", "superseded", "rolled_back", "rollback_failed")


class StoryError(Exception):
    """Why the story did not end well."""


class Teller:
    """Lines with the time since the start in front; colours only on a terminal."""

    def __init__(self, console: Console, monotonic: Callable[[], float]) -> None:
        self._console = console
        self._monotonic = monotonic
        self._start = monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._monotonic() - self._start

    def say(self, text: str, style: str = "") -> None:
        """One line."""
        minutes, rest = divmod(int(self.elapsed), 60)
        self._console.print(
            f"[{minutes}:{rest:02d}] {text}", style=style, markup=False, highlight=False, soft_wrap=True
        )

    def say_all(self, lines: Iterable[str], style: str = "") -> None:
        """Several lines."""
        for line in lines:
            self.say(line, style)


class Story:
    """Watches services until one workflow has run its course."""

    def __init__(
        self,
        services: Sequence[str],
        prometheus: Prometheus,
        recommender: Recommender,
        teller: Teller,
        sleep: Callable[[float], None],
        *,
        approval: Callable[[str], Iterable[str]],
        auto: bool,
    ) -> None:
        self._services = services
        self._prometheus = prometheus
        self._recommender = recommender
        self._teller = teller
        self._sleep = sleep
        self._approval = approval
        self._auto = auto
        self._alerts: dict[tuple[str, str], str] = {}
        self._before: Figures | None = None
        self._next_figures = 0.0
        self._next_problem = 0.0
        self._known: dict[str, tuple[str, int]] = {}
        """Workflow id -> state and number of verdicts already told."""
        self._acted: set[tuple[str, str]] = set()
        self._without_plan: set[tuple[str, str, str]] = set()
        self.settled: dict[str, str] = {}
        """Workflow id -> final state."""

    def wait_for_servers(self) -> None:
        """Return once Prometheus and the recommender answer; raises StoryError after a while."""
        waiting: dict[str, Callable[[], bool]] = {
            "Prometheus": self._prometheus.ready,
            "the recommender": self._recommender.ready,
        }
        while waiting:
            waiting = {name: ready for name, ready in waiting.items() if not ready()}
            if waiting and self._teller.elapsed > START_SECONDS:
                raise StoryError(f"{' and '.join(waiting)} did not become ready within {START_SECONDS:.0f} s")
            if waiting:
                self._sleep(POLL_SECONDS)

    def run(self, deadline: float | None) -> None:
        """Tell until the first workflow succeeds (`auto`) or for ever; raises StoryError when it does not."""
        while True:
            self._look()
            if self._auto:
                if "succeeded" in self.settled.values():
                    return
                for workflow_id, state in self.settled.items():
                    raise StoryError(f"workflow {workflow_id} ended as {state}")
                if deadline is not None and self._teller.elapsed > deadline:
                    raise StoryError(f"not done within {deadline:.0f} s; {self._where()}")
            self._sleep(POLL_SECONDS)

    def _look(self) -> None:
        """One round; a server that does not answer now is asked again in the next one."""
        try:
            if self._teller.elapsed >= self._next_figures:
                self._tell_figures()
            self._tell_alerts()
            self._tell_incidents()
            for workflow in self._recommender.workflows():
                self._tell_workflow(workflow["id"], workflow)
                self._act_once(workflow["id"], workflow["service"], workflow["state"])
        except Unreadable as problem:
            self._tell_problem(str(problem))

    def _tell_problem(self, problem: str) -> None:
        """Say what keeps the story waiting, and again only after a while."""
        if self._teller.elapsed >= self._next_problem:
            self._teller.say(f"(waiting: {problem})", "dim")
            self._next_problem = self._teller.elapsed + FIGURES_SECONDS

    def _tell_figures(self) -> None:
        quiet = bool(self.settled)
        self._next_figures = self._teller.elapsed + (QUIET_FIGURES_SECONDS if quiet else FIGURES_SECONDS)
        for service in self._services:
            figures = self._prometheus.figures(service)
            self._teller.say(wording.traffic(service, figures), "dim")

    def _tell_alerts(self) -> None:
        now = {}
        for alert in self._prometheus.alerts(self._services):
            key = (alert.name, alert.instance)
            now[key] = alert.state
            if self._alerts.get(key) != alert.state:
                where = f" on {alert.instance}" if alert.instance else ""
                style = "bold red" if alert.state == "firing" else "yellow"
                self._teller.say(f"alert {alert.name}{where} is {alert.state}: {alert.summary}", style)
        for name, instance in self._alerts.keys() - now.keys():
            self._teller.say(f"alert {name}{f' on {instance}' if instance else ''} has ended", "green")
        self._alerts = now

    def _tell_incidents(self) -> None:
        """Why there is no plan yet, each reason once; with a plan, the plan is the story."""
        if self._known:
            return
        for incident in self._recommender.incidents():
            told = (incident["service"], incident["outcome"] or "", incident["reason"] or "")
            if told[0] in self._services and told[1] in NO_PLAN and told not in self._without_plan:
                self._without_plan.add(told)
                self._teller.say(f"no plan for {told[0]} ({NO_PLAN[told[1]]}): {told[2]}", "yellow")

    def _tell_workflow(self, workflow_id: str, listed: dict[str, Any]) -> None:
        state, verdicts = listed["state"], len(listed.get("verdicts", ()))
        known = self._known.get(workflow_id)
        if known == (state, verdicts):
            return
        workflow = self._recommender.workflow(workflow_id)
        state, judged = workflow["state"], workflow.get("verdicts", ())
        self._known[workflow_id] = (state, len(judged))
        if known is None:
            self._teller.say(f"workflow {workflow_id} for {workflow['service']}:", "bold cyan")
            self._teller.say_all(wording.plan(workflow), "cyan")
        for verdict in judged[known[1] if known else 0 :]:
            self._teller.say(f"verdict {verdict['text']}", "bold")
        if known is None or known[0] != state:
            self._teller.say(f"{STATES.get(state, state)}{_fresh_reason(workflow)}", "bold")

    def _act_once(self, workflow_id: str, service: str, state: str) -> None:
        """Act on a state; one that fails because a server is away is tried again in the next round."""
        if (workflow_id, state) not in self._acted:
            self._act(workflow_id, service, state)
            self._acted.add((workflow_id, state))

    def _act(self, workflow_id: str, service: str, state: str) -> None:
        if state in UNDECIDED:
            self._before = self._prometheus.figures(service)
            if self._auto:
                self._recommender.approve(workflow_id, "approved by make demo AUTO=1")
                self._teller.say("approved by AUTO=1 with the approver's token", "bold")
            else:
                self._teller.say_all(self._approval(workflow_id), "bold green")
        elif state == "succeeded":
            self.settled[workflow_id] = state
            if self._before is not None:
                after = self._prometheus.figures(service)
                self._teller.say_all(wording.before_and_after(self._before, after), "bold green")
        elif state in FAILED:
            self.settled[workflow_id] = state

    def _where(self) -> str:
        if self._known:
            return "; ".join(f"workflow {name} is {state}" for name, (state, _) in self._known.items())
        alerts = [f"{name} {state}" for (name, _), state in self._alerts.items()]
        return f"no plan yet; alerts: {', '.join(sorted(set(alerts))) or 'none'}"


def _fresh_reason(workflow: dict[str, Any]) -> str:
    """Why the state was reached, unless the plan's evidence or a verdict has just said it."""
    reason = workflow.get("reason", "")
    told = [verdict["text"] for verdict in workflow.get("verdicts", ())]
    return "" if not reason or workflow["state"] in UNDECIDED or reason in told else f" ({reason})"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; the supervisor gives all of these."""
    parser = argparse.ArgumentParser("demo.story", description=__doc__, allow_abbrev=False)
    parser.add_argument("--service", action="append", required=True, dest="services")
    parser.add_argument("--prometheus-url", required=True)
    parser.add_argument("--recommender-url", required=True)
    parser.add_argument("--token-file", type=Path, required=True, help="the approver's token")
    parser.add_argument("--optiinfra", default="optiinfra", help="how to call the command line")
    parser.add_argument("--say", action="append", default=[], help="a line to begin with")
    parser.add_argument("--auto", action="store_true", help="approve and end when the change is verified")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds that --auto waits")
    return parser


def main() -> int:
    """Run from the command line."""
    options = build_parser().parse_args()
    teller = Teller(Console(force_terminal=None, force_interactive=False), time.monotonic)
    session = requests.Session()
    session.trust_env = False  # everything here is on loopback: no proxy
    story = Story(
        options.services,
        Prometheus(options.prometheus_url, session),
        Recommender(options.recommender_url, session, options.token_file.read_text(encoding="utf-8").strip()),
        teller,
        time.sleep,
        approval=lambda workflow_id: wording.approval(
            workflow_id, url=options.recommender_url, token_file=str(options.token_file), command=options.optiinfra
        ),
        auto=options.auto,
    )
    teller.say_all(options.say)
    try:
        story.wait_for_servers()
        story.run(options.deadline if options.auto else None)
    except StoryError as error:
        teller.say(f"FAILED: {error}", "bold red")
        return 1
    except KeyboardInterrupt:
        return 128 + 2
    teller.say("the change is verified", "bold green")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
