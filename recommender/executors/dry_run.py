"""Executor `dry_run`: writes down what would be done and does nothing."""

from collections.abc import Mapping

import structlog

from recommender.contracts import ReplicaTarget
from recommender.model import Change, KnobValue, Snapshot

_LOG = structlog.get_logger(__name__)


class DryRunExecutor:
    """Touches nothing and knows nothing, and says so: a plan carried out by it ends `advised`, never `succeeded`."""

    name = "dry_run"

    def read(self, replica: ReplicaTarget) -> Mapping[str, KnobValue]:  # noqa: ARG002 - the protocol's shape
        """Nothing is known."""
        return {}

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
