"""`optiinfra whatif` and its route: against a Prometheus with a day of history, and against a recommender."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.sizing_grid import simulate
from recommender.cli import main
from tests.recommender.foundation.live import Live, live, token, write_configuration
from tests.recommender.whatif.day import INSTANCE, INVENTORY, NOW, recorded
from tests.recommender.whatif.raw_day import scraped

pytestmark = pytest.mark.process


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", **environment}).invoke(main, list(arguments))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with recorded(tmp_path_factory.mktemp("day"), time.time() - 30) as url:
        yield url


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("inventory") / "inventory.yml"
    file.write_text(INVENTORY)
    return str(file)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, prometheus: str) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("recommender")
    files = write_configuration(folder, INVENTORY)
    with live(loops=False, database_url=f"sqlite:///{folder / 'state.db'}", prometheus_url=prometheus, **files) as one:
        yield one


def test_straight_from_a_prometheus_the_step_is_fitted_and_the_outcome_is_what_then_happens(
    prometheus: str, inventory: str
) -> None:
    done = run(
        "whatif", "chat", "--set", "max_running_requests=32", "--prometheus", prometheus, "--inventory", inventory,
        "--format", "json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output)
    assert "fitted to" in answer["step"]
    figures = {metric["name"]: metric for metric in answer["metrics"]}
    then = simulate(replace(NOW, slots=32))
    assert figures["tokens_per_second"]["expected"] == pytest.approx(then.tokens_per_second, rel=0.15)
    assert figures["kv_usage_ratio"]["expected"] == pytest.approx(
        then.kv_tokens / NOW.shape().kv_capacity_tokens, rel=0.03
    )
    assert abs(figures["itl_mean_seconds"]["error"]) < 0.1


def test_the_text_has_settings_figures_sources_and_objectives(prometheus: str, inventory: str) -> None:
    done = run(
        "whatif", "chat", "--set", "max_running_requests=32", "--prometheus", prometheus, "--inventory", inventory
    )
    assert done.exit_code == 0, done.output
    for part in ("max_running_requests: 16 → 32", "--max-num-seqs 32", "restart", "fitted to", "model error", "1 s met",
                 f"replica {INSTANCE}", "Limited by: max_running_requests now"):  # fmt: skip
        assert part in done.output, done.output


def test_the_route_and_the_command_by_the_recommender_say_the_same(api: Live) -> None:
    answer = api.call("POST", "/api/v1/services/chat/whatif", "viewer", json={"settings": {"max_running_requests": 32}})
    assert answer.status_code == 200, answer.text
    done = run(
        "whatif", "chat", "--set", "max_running_requests=32", "--format", "json", "--url", api.url,
        OPTIINFRA_TOKEN=token("viewer"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    ours, theirs = json.loads(done.output), answer.json()
    assert ours["metrics"] == theirs["metrics"]
    assert ours["settings"] == theirs["settings"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"settings": {"max_running_requests": 0}}, 400, "not legal"),
        ({"settings": {"warp": 1}}, 400, "no such knob"),
        ({"load": {"clients": -1}}, 400, "clients"),
        ({"sets": {}}, 400, "sets"),
    ],
)
def test_what_is_wrong_with_a_wish_is_said(api: Live, body: dict[str, object], status: int, said: str) -> None:
    answer = api.call("POST", "/api/v1/services/chat/whatif", "viewer", json=body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]


def test_other_services_and_other_roles_get_nothing(api: Live) -> None:
    wish = {"settings": {"max_running_requests": 32}}
    assert api.call("POST", "/api/v1/services/nothing/whatif", "viewer", json=wish).status_code == 404
    assert api.call("POST", "/api/v1/services/chat/whatif", "alert_source", json=wish).status_code == 403


def test_wrong_usage_and_what_is_unknown_have_statuses_of_their_own(
    prometheus: str, inventory: str, tmp_path: Path
) -> None:
    assert run("whatif", "chat").exit_code == 2
    assert run("whatif", "chat", "--set", "max_running_requests").exit_code == 2
    assert run("whatif", "chat", "--set", "a=1", "--set", "a=2").exit_code == 2
    assert run("whatif", "chat", "--load", "clients=none").exit_code == 2
    assert "--load warp: there is none; it takes prompt_tokens, " in run("whatif", "chat", "--load", "warp=1").output
    assert run("whatif", "chat", "--set", "a=1", "--given", "gpu=l4").exit_code == 2
    refused = run("whatif", "chat", "--set", "warp=1", "--prometheus", prometheus, "--inventory", inventory)
    assert (refused.exit_code, "no such knob" in refused.output) == (1, True)
    sparse = tmp_path / "sparse.yml"
    sparse.write_text(INVENTORY.replace("max_batched_tokens: 2048, ", ""))
    unknown = run("whatif", "chat", "--set", "max_running_requests=32", "--prometheus", prometheus,
                  "--inventory", str(sparse))  # fmt: skip
    assert (unknown.exit_code, "max_batched_tokens (to predict" in unknown.output) == (3, True)
    assert "give --given max_batched_tokens=…" in unknown.output
    for wrong, said in (("max_batched_tokens=0", "max_batched_tokens"), ("gpu=abacus", "not a known GPU"),
                        ("warp=1", "no fact or setting"), ("context_tokens=9", "no such knob")):  # fmt: skip
        done = run("whatif", "chat", "--set", "max_running_requests=32", "--prometheus", prometheus, "--given", wrong)
        assert (done.exit_code, said in done.output) == (1, True), done.output


def test_without_rules_inventory_and_recommender_the_engines_own_series_give_the_same_answer(
    prometheus: str, inventory: str, tmp_path: Path
) -> None:
    at = 1_795_000_005.0
    question = ("--set", "max_running_requests=32", "--format", "json")
    with scraped(tmp_path, at) as url:
        given = ("--given", "max_batched_tokens=2048", "--given", "kv_cache_memory_fraction=0.9")
        done = run("whatif", "llm", *question, "--prometheus", url, "--at", str(at), *given)
    assert done.exit_code == 0, done.output
    raw = json.loads(done.output)
    assert raw["signals"] == "raw"
    assert "fitted to" in raw["step"]
    recorded_too = run("whatif", "chat", *question, "--prometheus", prometheus, "--inventory", inventory)
    for ours, theirs in zip(raw["metrics"], json.loads(recorded_too.output)["metrics"], strict=True):
        assert ours["after"] == pytest.approx(theirs["after"], rel=0.02), ours["name"]
        if theirs["measured"] is not None:
            assert ours["measured"] == pytest.approx(theirs["measured"], rel=0.02), ours["name"]
