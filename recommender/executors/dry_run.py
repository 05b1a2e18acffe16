"""Executor `dry_run`: writes down what would be done and does nothing; a configuration file it only reads."""

from collections.abc import Mapping

import structlog

from recommender.contracts import Configuration, ReplicaTarget
from recommender.executors.configuration import configuration
from recommender.model import Change, KnobValue, Snapshot

_LOG = structlog.get_logger(__name__)


class DryRunExecutor:
    """Changes nothing, and says so: a plan carried out by it ends `advised`, never `succeeded`."""

    name = "dry_run"

    def read(self, replica: ReplicaTarget) -> Mapping[str, KnobValue]:
        """The settings in the configuration file, where one is named and is there; else nothing is known."""
        found = configuration(replica)
        return {} if found is None else found.values

    def configuration(self, replica: ReplicaTarget) -> Configuration | None:
        """The configuration file, where one is named and is there."""
        return configuration(replica)

    def snapshot(self, replica: ReplicaTarget) -> Snapshot:  # noqa: ARG002 - the protocol's shape
        """There is nothing to put back."""
        return Snapshot(executor=self.name, content=None)

    def apply(self, replica: ReplicaTarget, change: Change) -> None:
        """Log what would be set."""
        old, new = change.written_old, change.written_new
        _LOG.info("dry_run_would_set", instance=replica.instance, flag=change.flag, old=old, new=new)

    def ready(self, replica: ReplicaTarget) -> bool | None:  # noqa: ARG002 - the protocol's shape
        """It is not asked, so it cannot be told."""
        return None

    def restore(self, replica: ReplicaTarget, snapshot: Snapshot) -> None:
        """Nothing was changed."""
