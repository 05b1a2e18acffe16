"""Whether synthetic GPUs stand in for real ones."""

import click

from exporters.options.group import Group, option
from exporters.settings import DemoSettings
from exporters.synthetic.scenario import Scenario


def _settings(*, demo: str | None, demo_seed: int) -> DemoSettings | None:
    return None if demo is None else DemoSettings(Scenario(demo), demo_seed)


GROUP = Group(
    _settings,
    (
        option(
            "--demo",
            type=click.Choice(list(Scenario), case_sensitive=False),
            is_flag=False,
            flag_value=Scenario.HEALTHY.value,
            env="OPTIINFRA_EXPORTER_DEMO",
            text=f"Show synthetic GPUs in place of this machine's: {', '.join(Scenario)}. "
            f"{Scenario.HEALTHY.capitalize()} when none is named; none are shown when not given.",
        ),
        option(
            "--demo-seed",
            type=int,
            default=1,
            env="OPTIINFRA_EXPORTER_DEMO_SEED",
            text="Seed of the synthetic figures; the same seed gives the same.",
        ),
    ),
)
