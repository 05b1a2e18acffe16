"""`optiinfra`: a table of subcommands, imported by name when used, so that none needs the libraries of another."""

import importlib
from collections.abc import Mapping
from importlib.metadata import version

import click

_COMMANDS: dict[str, tuple[str, str]] = {
    "exporter": ("exporters.cli:exporter", "Export GPU, host and inference-engine metrics."),
    "recommender": ("recommender.commands:recommender", "Turn alerts into plans, and approved plans into changes."),
    "workflows": ("recommender.commands:workflows", "List, show, approve, reject and cancel workflows."),
    "effects": ("recommender.commands:effects", "List what changes did, against what was predicted."),
    "diagnose": ("recommender.oneshot.cli:diagnose", "Say once what limits the services that a Prometheus sees."),
    "plan": ("recommender.plan_command:plan", "Plan a service now: the change, its proof, its patch."),
    "whatif": ("recommender.whatif.command:whatif", "Predict a service with other settings or another load."),
    "check": ("recommender.commands:check", "Check configuration and connections; say how to mend them."),
    "audit": ("recommender.commands:audit", "Verify the audit log."),
    "tokens": ("recommender.commands:tokens", "Make tokens for the API."),
}
_BUILD: dict[str, tuple[str, str]] = {
    "rules": ("rules.cli:build", "Generate the Prometheus rules that come from the engine catalogue."),
    "dashboards": ("dashboards.cli:build", "Generate the Grafana dashboards."),
    "knobs": ("recommender.knobs.docs:build", "Generate the page of every engine's settings."),
    "playbooks": ("recommender.playbooks.docs:build", "Generate the page of every playbook."),
    "docs": ("rules.docs:build", "Generate the pages on what each engine tells and what each alert means."),
}
_RULES: dict[str, tuple[str, str]] = {
    "coverage": ("rules.coverage:coverage", "List the rules without a test; fail below 100 %."),
    "lint": ("rules.lint:lint", "Find what is legal to promtool and still wrong."),
}
_EXPORT: dict[str, tuple[str, str]] = {
    "dcgm": ("rules.export:dcgm", "Print the counters file that dcgm-exporter needs."),
    "hpa": ("rules.export_autoscale:hpa", "Print a HorizontalPodAutoscaler for a service's desired replicas."),
    "keda": ("rules.export_autoscale:keda", "Print a ScaledObject of KEDA for a service's desired replicas."),
    "operator": ("rules.export_operator:operator", "Give the rules as objects of the Prometheus Operator."),
    "prometheus": ("rules.export_prometheus:prometheus", "Write the rule files to a folder for a Prometheus you have."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use: name -> (`module:attribute`, one line of help)."""

    def __init__(self, name: str, table: Mapping[str, tuple[str, str]], help: str) -> None:  # noqa: A002 - click's name
        super().__init__(name, help=help)
        self._table = dict(table)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the table's order."""
        return [*self._table, *(name for name in super().list_commands(ctx) if name not in self._table)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None when there is none of this name."""
        if cmd_name not in self._table:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Names and help from the table, without importing anything."""
        rows = [(name, self._table[name][1]) for name in self._table]
        rows += [(name, (self.commands[name].get_short_help_str())) for name in self.commands]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


main = LazyGroup(
    "optiinfra", _COMMANDS, "Say what limits an LLM service, size the change that helps, carry it out safely."
)
main.add_command(LazyGroup("build", _BUILD, "Generate rules, dashboards and docs."))
main.add_command(LazyGroup("rules", _RULES, "Judge the rules and their tests."))
main.add_command(LazyGroup("export", _EXPORT, "Give configuration to Prometheus, its operator and other exporters."))
click.version_option(version("optiinfra"), prog_name="optiinfra")(main)
