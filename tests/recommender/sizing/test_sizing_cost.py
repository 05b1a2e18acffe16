"""What tokens cost."""

import pytest

from recommender.sizing.cost import Split, price_per_million, split
from recommender.sizing.load import EngineShape, StepModel, Workload
from recommender.sizing.predict import predict
from recommender.sizing.result import NotApplicable, Sized

SHAPE, STEP = EngineShape(32, 2048, 200_000), StepModel(0.02, 0.0004, 0.00003)


def test_a_million_tokens_cost_the_hours_that_they_take() -> None:
    found = price_per_million(3.6, 1000)
    assert isinstance(found, Sized)
    assert found.value == pytest.approx(1.0)
    assert isinstance(price_per_million(None, 1000), NotApplicable)
    assert isinstance(price_per_million(3.6, 0), NotApplicable)


def test_prompts_and_answers_together_cost_the_replica() -> None:
    load = Workload(400, 100, clients=32)
    found = predict(SHAPE, STEP, load)
    parts = split(3.6, found, STEP, load)
    assert isinstance(parts, Split)
    per_second = (parts.prompt * 400 + parts.output * 100) * found.requests_per_second / 1e6
    assert per_second * 3600 == pytest.approx(3.6)
    assert parts.prompt < parts.output
    assert isinstance(split(0, found, STEP, load), NotApplicable)
