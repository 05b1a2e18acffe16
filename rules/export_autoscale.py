"""`optiinfra export keda|hpa`: manifests for an autoscaler, with every name checked before it is in one."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from rules.autoscale import LONGEST_PERIOD_SECONDS, Autoscaling, hpa_manifest, keda_manifest

# RFC 1123: names of Deployments and of autoscalers are subdomains, namespaces are labels. KEDA puts the
# name into a label.
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(rf"{_DNS_LABEL.pattern}(?:\.{_DNS_LABEL.pattern})*")
_LONGEST_NAME = 63
_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")


def _target(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _DNS_SUBDOMAIN.fullmatch(value) or len(value) > _LONGEST_NAME:
        raise click.BadParameter(f"{value!r} is no name here: lower case letters, digits, - and . within, at most 63")
    return value


def _namespace(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value and not _DNS_LABEL.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no DNS label: lower case letters, digits and - within, at most 63")
    return value


def _url(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    secret = parts.username or parts.password
    if not usable or secret or parts.query or parts.fragment or not value.isprintable() or " " in value:
        raise click.BadParameter(
            "write an http or https URL without user, password, query and fragment, like "
            "http://prometheus.monitoring:9090; credentials belong in a TriggerAuthentication"
        )
    return value


def _service(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value or not value.isprintable():
        raise click.BadParameter("a service has a name of printable characters: the label `service` of its series")
    return value


_OPTIONS = (
    click.option(
        "--service",
        required=True,
        callback=_service,
        envvar="OPTIINFRA_SERVICE",
        help="The service, as OptiInfra knows it.",
    ),
    click.option(
        "--target",
        required=True,
        callback=_target,
        envvar="OPTIINFRA_SCALE_TARGET",
        help="Name of the Deployment or StatefulSet of its replicas.",
    ),
    click.option(
        "--kind",
        type=click.Choice(["Deployment", "StatefulSet"]),
        default="Deployment",
        show_default=True,
        envvar="OPTIINFRA_SCALE_KIND",
        help="What the target is.",
    ),
    click.option("--namespace", default="", callback=_namespace, envvar="OPTIINFRA_NAMESPACE", help="Namespace of it."),
    click.option(
        "--min",
        "minimum",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        envvar="OPTIINFRA_SCALE_MIN",
        help="Fewest replicas; 2 where users would notice the loss of one.",
    ),
    click.option(
        "--max", "maximum", type=click.IntRange(1), required=True, envvar="OPTIINFRA_SCALE_MAX", help="Most replicas."
    ),
    click.option(
        "--start-seconds",
        type=click.IntRange(15, LONGEST_PERIOD_SECONDS),
        default=300,
        show_default=True,
        envvar="OPTIINFRA_SCALE_START_SECONDS",
        help="How long a new replica takes until it serves: they may double in that time.",
    ),
)
_Command = TypeVar("_Command", bound=Callable[..., None])


def _scaling_options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _scaling(options: Mapping[str, Any]) -> Autoscaling:
    if options["maximum"] < options["minimum"]:
        raise click.BadParameter(f"--max {options['maximum']} is less than --min {options['minimum']}")
    return Autoscaling(**options)


@click.command("keda")
@_scaling_options
@click.option(
    "--prometheus-url",
    required=True,
    callback=_url,
    envvar="OPTIINFRA_PROMETHEUS_URL",
    help="Where KEDA reads the count, as seen from the cluster.",
)
def keda(prometheus_url: str, **options: Any) -> None:  # noqa: ANN401 - the options of _scaling_options
    """Print a ScaledObject for KEDA that scales a service by its desired count of replicas."""
    click.echo(keda_manifest(_scaling(options), prometheus_url), nl=False)


@click.command("hpa")
@_scaling_options
def hpa(**options: Any) -> None:  # noqa: ANN401 - the options of _scaling_options
    """Print a HorizontalPodAutoscaler that scales a service by its desired count of replicas."""
    if not _LABEL_VALUE.fullmatch(options["service"]):
        raise click.BadParameter(
            f"{options['service']!r} cannot be asked for by an HPA: a metric's selector takes letters, digits, - _ "
            "and . within, at most 63; export keda takes any name"
        )
    click.echo(hpa_manifest(_scaling(options)), nl=False)
