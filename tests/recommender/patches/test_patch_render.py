"""A change as patches: golden files of every knob of every engine, and values that are meant to break out."""

import itertools
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.knobs import Knob, KnobType, engines, load
from recommender.model import Change, KnobValue, Patch, Risk
from recommender.patches import PatchContext, render

GOLDEN = Path(__file__).parents[2] / "data" / "patches"
HOSTILE = "a'b\"c\n$HOME ${x} {{ .Values.x }} {y}: [z] # no\t&*!|>%@`\\ é"


def sample(knob: Knob) -> list[KnobValue]:
    """Values to show: both of a bool, first and last of a choice, one of a number."""
    match knob.type:
        case KnobType.BOOL:
            return [True, False]
        case KnobType.CHOICE:
            return [knob.choices[0], knob.choices[-1]]
        case KnobType.FLOAT:
            return [0.5]
        case KnobType.INT:
            return [64 * int(knob.scale)]


def shown(engine: str) -> str:
    """Every patch of every knob of an engine, as text."""
    lines = []
    for knob in load(engine).knobs:
        for value in sample(knob):
            change = knob.change(engine, value, value, reason="", formula="", inputs={})
            lines.append(f"==== {knob.name} = {value}")
            for patch in render(change, PatchContext("chat")):
                lines += [f"[{patch.format}] {patch.title}", patch.content.rstrip("\n")]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("engine", engines())
def test_the_patches_of_every_knob_are_the_reviewed_ones(engine: str) -> None:
    """To review a wanted difference: write `shown(engine)` to the file and read the diff."""
    assert shown(engine) == (GOLDEN / f"{engine}.txt").read_text(encoding="utf-8")


def change_to(value: KnobValue, **update: Any) -> Change:
    told = {"flag": "--max-num-seqs", "config_key": "max-num-seqs", "engine": "vllm"} | update
    return Change(
        knob="a_knob_that_no_catalogue_has", old=8, new=value, reason="", formula="", risk=Risk.RESTART, **told
    )


def one(patches: tuple[Patch, ...], kind: str) -> str:
    return next(patch.content for patch in patches if patch.format == kind)


values = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=30)


@given(values)
@example(HOSTILE)
@example("$(touch /tmp/x)")
@example("yes")
@example("0x10")
@example("- a: b")
def test_no_value_breaks_out_of_its_format(value: str) -> None:
    patches = render(change_to(value), PatchContext(value))
    assert yaml.safe_load(one(patches, "engine-config")) == {"max-num-seqs": value}
    assert shlex.split(one(patches, "cli")) == ["--max-num-seqs", value]
    chart = yaml.safe_load(one(patches, "helm-values"))
    assert chart == {
        "servingEngineSpec": {"modelSpec": [{"name": value, "vllmConfig": {"extraArgs": ["--max-num-seqs", value]}}]}
    }
    service = yaml.safe_load(one(patches, "compose"))["services"]
    assert service == {value: {"command": ["--max-num-seqs", value.replace("$", "$$")]}}


@given(values)
@example(HOSTILE)
def test_no_value_breaks_out_of_a_variable(value: str) -> None:
    told = {"flag": "OLLAMA_X", "config_key": "OLLAMA_X", "env": "OLLAMA_X", "engine": "ollama"}
    patches = render(change_to(value, **told), PatchContext("chat"))
    assert shlex.split(one(patches, "engine-config")) == [f"OLLAMA_X={value}"]
    assert shlex.split(one(patches, "environment")) == ["export", f"OLLAMA_X={value}"]
    assert yaml.safe_load(one(patches, "helm-values")) == {"extraEnv": [{"name": "OLLAMA_X", "value": value}]}
    service = yaml.safe_load(one(patches, "compose"))["services"]["chat"]
    assert service == {"environment": {"OLLAMA_X": value.replace("$", "$$")}}


@given(values)
@example(HOSTILE)
def test_no_value_breaks_out_of_the_text_of_a_model_of_triton(value: str) -> None:
    told = {"flag": "parameters.x", "config_key": "parameters.x", "engine": "triton", "env": None}
    patches = render(change_to(value, **(told | {"flag": "x"})), PatchContext("chat"))
    lines = one(patches, "engine-config").splitlines()
    assert [lines[0], lines[1], lines[3]] == ["parameters {", '  key: "x"', "}"]
    assert len(lines) == 4
    written = lines[2].removeprefix("  value { string_value: ").removesuffix(" }")
    assert json.loads(written) == value


@given(values)
@example(HOSTILE)
def test_nested_keys_stay_nested_and_hold_the_value(value: str) -> None:
    told = {"flag": "--x", "config_key": "kv_cache_config.dtype", "engine": "tensorrt_llm"}
    patches = render(change_to(value, **told), PatchContext("chat"))
    assert yaml.safe_load(one(patches, "engine-config")) == {"kv_cache_config": {"dtype": value}}


def test_types_survive_yaml() -> None:
    for value in (True, False, 16, 0.92, 1e-05):
        assert yaml.safe_load(one(render(change_to(value), PatchContext("x")), "engine-config")) == {
            "max-num-seqs": value
        }


def test_an_engine_that_nobody_knows_gets_what_the_change_itself_says() -> None:
    patches = render(change_to(16, engine="dynamo"), PatchContext("chat"))
    assert [patch.format for patch in patches] == ["engine-config", "cli", "helm-values", "compose"]


def test_the_order_and_the_bytes_are_always_the_same() -> None:
    knob = load("ollama").get("model_keep_alive_seconds")
    assert knob is not None
    change = knob.change("ollama", 300, 600, reason="", formula="", inputs={})
    first, second = itertools.repeat(render(change, PatchContext("chat")), 2)
    assert first == second
    assert [patch.format for patch in first] == ["engine-config", "environment", "helm-values", "compose", "request"]
