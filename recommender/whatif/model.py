"""What is asked of a what-if, and what it answers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from recommender.model import Apply, Ask, Feasibility, KnobValue, Model, Risk

_Tokens = Annotated[float, Field(ge=1, le=1e8, allow_inf_nan=False)]
_Load = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


class LoadWish(Model):
    """The load of one replica after the change; what is not given stays as it is measured.

    What cannot be measured is taken from here for the present too.
    """

    prompt_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    arrivals_per_second: _Load | None = None
    clients: _Load | None = None  # that ask again as soon as they are answered
    prefix_hit_ratio: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class Wish(Model):
    """Knobs by neutral name, in neutral units, and the load to look at. `instance` None: the busiest replica."""

    settings: dict[str, KnobValue] = Field(default_factory=dict, max_length=20)
    load: LoadWish = LoadWish()
    instance: Annotated[str, Field(max_length=300)] | None = None


class Setting(Model):
    """One knob of the wish, as the engine has it."""

    knob: str
    flag: str  # of a switch the one that gives the new value
    old: KnobValue | None  # None: unknown
    new: KnobValue
    engine_new: KnobValue | None  # None: had by leaving the flag out
    apply: Apply
    risk: Risk
    cost: str
    modelled: bool  # whether the prediction knows what it does
    effect: str = ""  # what it does to a step, and where that is from; empty: it moves limits, load or memory alone


class Input(Model):
    """A figure that the prediction is made from, before and after, and where it is from."""

    name: str
    unit: str
    before: float | None
    after: float | None
    source: str


class Metric(Model):
    """One figure: measured, predicted as it is now, predicted with the wish.

    `error` is predicted now over measured, less 1: how wrong the model is at the one point where it can be told.
    `expected` is the measured figure times predicted after over predicted now, so that error cancels as far as it
    stays the same. None is unknown; where `grows`, the queue grows without bound after the change and there is no
    figure.
    """

    name: str
    unit: str
    query: str
    measured: float | None
    now: float | None
    after: float | None
    error: float | None
    expected: float | None
    now_low: float | None = None
    now_high: float | None = None
    after_low: float | None = None
    after_high: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    objective_met: Literal["yes", "likely", "unlikely", "no"] | None = None  # by the expected range; None: unknown
    grows: bool = False
    objective: float | None = None


class WhatIf(Model):
    """The answer. Without `metrics` something is unknown that no prediction goes without: `asks` says what."""

    service: str
    instance: str
    at: datetime
    engine: str
    engine_version: str | None
    signals: Literal["recorded", "raw"] = "recorded"  # raw: worked out from engines' own series, without our rules
    settings: tuple[Setting, ...]
    load: str  # in words
    load_after: str  # likewise; empty where it stays
    step: str  # in words, with its source
    inputs: tuple[Input, ...]
    metrics: tuple[Metric, ...] = ()
    limited_by: str | None = None
    limited_by_after: str | None = None
    memory: Feasibility | None = None
    asks: tuple[Ask, ...] = ()
    notes: tuple[str, ...] = ()
