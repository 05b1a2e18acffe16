"""`optiinfra export operator`: the rules as PrometheusRule objects of the Prometheus Operator, one for each file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from rules import plain_yaml
from rules.generate.document import RuleDumper
from rules.site import site_files, thresholds_option, write

API_VERSION = "monitoring.coreos.com/v1"
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_NAME = re.compile(r"(?:[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")


def object_name(file: str, prefix: str) -> str:
    """A name that Kubernetes takes: `sources/tensorrt_llm.yml` is `<prefix>-sources-tensorrt-llm`."""
    return "-".join([prefix, *re.findall(r"[a-z0-9]+", file.removesuffix(".yml").lower())])


def prometheus_rules(
    files: Mapping[str, str], *, prefix: str = "optiinfra", namespace: str = "", labels: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The objects, thresholds among them as one of its own. `labels` are what a ruleSelector asks for."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "PrometheusRule",
            "metadata": {
                "name": object_name(file, prefix),
                **({"namespace": namespace} if namespace else {}),
                "labels": {"app.kubernetes.io/part-of": "optiinfra", **(labels or {})},
            },
            "spec": {"groups": plain_yaml.parse(text)["groups"]},
        }
        for file, text in files.items()
    ]


def manifest(content: Mapping[str, Any]) -> str:
    """One object as a YAML document."""
    return "---\n" + yaml.dump(content, Dumper=RuleDumper, sort_keys=False, width=120)


def _labels(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not _LABEL_NAME.fullmatch(name) or not _LABEL_VALUE.fullmatch(text):
            raise click.BadParameter(
                f"{value!r} is no Kubernetes label; write NAME=VALUE, for example release=prometheus"
            )
        found[name] = text
    return found


def _dns_label(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value and not _DNS_LABEL.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no DNS label: lower case letters, digits and - within, at most 63")
    return value


@click.command("operator")
@click.option(
    "--namespace", default="", callback=_dns_label, envvar="OPTIINFRA_NAMESPACE", help="Namespace of them all."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=_labels,
    envvar="OPTIINFRA_RULE_LABELS",
    help="NAME=VALUE that your Prometheus selects rules by (spec.ruleSelector); may be repeated.",
)
@click.option(
    "--prefix",
    default="optiinfra",
    show_default=True,
    callback=_dns_label,
    envvar="OPTIINFRA_RULE_PREFIX",
    help="What every name begins with.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OPTIINFRA_EXPORT_OUT",
    help="Folder for one file each; else all are printed.",
)
@thresholds_option
def operator(namespace: str, labels: dict[str, str], prefix: str, out: Path | None, thresholds: Path | None) -> None:
    """Give the rules as PrometheusRule objects, thresholds as one of their own."""
    objects = prometheus_rules(site_files(thresholds), prefix=prefix, namespace=namespace, labels=labels)
    for each in objects:
        if not _DNS_LABEL.fullmatch(name := each["metadata"]["name"]):
            raise click.BadParameter(f"{name} is longer than 63 characters; choose a shorter --prefix")
    texts = {f"{each['metadata']['name']}.yaml": manifest(each) for each in objects}
    if out is None:
        click.echo("".join(texts.values()), nl=False)
        return
    write(out, texts)
    click.echo(f"{out}: wrote {len(texts)} PrometheusRule objects; apply them with: kubectl apply -f {out}")
