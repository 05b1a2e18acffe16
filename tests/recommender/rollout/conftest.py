"""Fixtures of the rollout tests."""

from types import SimpleNamespace

import pytest

from tests.recommender.rollout import builders


@pytest.fixture
def clock() -> builders.HandClock:
    return builders.HandClock()


@pytest.fixture
def make() -> SimpleNamespace:
    """The builders, and the instant at which every story starts."""
    return SimpleNamespace(
        verification=builders.make_verification,
        plan=builders.make_plan,
        workflow=builders.make_workflow,
        targets=builders.make_targets,
        start=builders.START,
        instances=builders.INSTANCES,
    )
