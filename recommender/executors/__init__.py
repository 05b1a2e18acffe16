"""What carries a change to a replica, by the name that the inventory uses."""

import os
from collections.abc import Mapping

from recommender.contracts import Executor
from recommender.executors.command import CommandExecutor
from recommender.executors.dry_run import DryRunExecutor


def build(environment: Mapping[str, str] | None = None) -> Mapping[str, Executor]:
    """All executors by name. `environment` (default: this process's) is what restart commands inherit."""
    executors: tuple[Executor, ...] = (
        DryRunExecutor(),
        CommandExecutor(os.environ if environment is None else environment),
    )
    return {executor.name: executor for executor in executors}
