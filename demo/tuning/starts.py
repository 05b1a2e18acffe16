"""Ten bad configurations, and what each of them has to do."""

from demo.faults.traffic import Load
from demo.tuning.configuration import Configuration, StepTime
from demo.tuning.worth import Work

CHAT = Work("chat", Load(rate=7.0, prompt=300, answer=150))
"""Some 55 requests at once, whose KV takes two thirds of what 0.85 of the device leaves."""
LONG_PROMPTS = Work(
    "long-prompts", Load(rate=1.2, prompt=2400, answer=120, spread=0.3), StepTime(gamma_ms=0.1), itl_seconds=0.15
)
"""Prompts whose computation takes a quarter of a second each, in the steps of everybody else's answers."""

STARTS: tuple[tuple[str, Configuration, Work], ...] = (
    ("four slots", Configuration(4), CHAT),
    ("eight slots", Configuration(8), CHAT),
    ("sixteen slots", Configuration(16), CHAT),
    ("few slots and little KV", Configuration(16, 2048, 0.78), CHAT),
    ("KV thrash", Configuration(256, 2048, 0.76), CHAT),
    ("KV pressure", Configuration(64, 2048, 0.78), CHAT),
    ("steps too small", Configuration(96, 128, 0.87), CHAT),
    ("slots and KV between", Configuration(40, 2048, 0.80), CHAT),
    ("steps too long", Configuration(64, 8192, 0.87), LONG_PROMPTS),
    ("few slots for long prompts", Configuration(4, 2048, 0.87), LONG_PROMPTS),
)
