"""Tokens, settings, decisions and loops."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from recommender.auth import Role, digest, load_tokens, new_token
from recommender.clock import SystemClock
from recommender.decisions import decide
from recommender.errors import ConfigError, Conflict, StoreUnavailable
from recommender.model import WorkflowState
from recommender.rollout.states import Trigger
from recommender.settings import load_settings
from recommender.store import Store
from recommender.worker import Loop


def write(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(list(entries)))
    return path


def test_a_new_token_is_accepted_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yml"
    token = new_token("ann", Role.APPROVER, file)
    other = new_token("bob", Role.VIEWER, file)
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    tokens = load_tokens(file)
    ann = tokens.authenticate(token)
    assert ann is not None
    assert (ann.name, ann.role) == ("ann", Role.APPROVER)
    assert tokens.authenticate(other) is not None
    assert tokens.authenticate(token + "x") is None
    with pytest.raises(ConfigError, match="already has a token named 'ann'"):
        new_token("ann", Role.ADMIN, file)


def test_a_token_may_be_in_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a-token-of-enough-length\n")
    tokens = load_tokens(write(tmp_path / "t.yml", {"name": "a", "role": "viewer", "token_file": "secret"}))
    assert tokens.authenticate("a-token-of-enough-length") is not None


GOOD = {"name": "a", "role": "viewer", "token": "a-token-of-enough-length"}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "optiinfra tokens new"),
        ([GOOD | {"token": "short"}], "shorter than 16"),
        ([GOOD | {"role": "king"}], "entry 1 role"),
        ([GOOD | {"tokn": "x"}], "entry 1 tokn"),
        ([GOOD | {"token_sha256": digest("x")}], "exactly one of"),
        ([GOOD, GOOD | {"name": "b"}], "have the same token"),
        ([GOOD, GOOD | {"token": "another-token-of-length"}], "the name 'a' is there twice"),
        ([{"name": "a", "role": "viewer", "token_file": "missing"}], "cannot read token_file"),
        ([{"name": "a", "role": "viewer", "token_sha256": "abc"}], "token_sha256"),
    ],
)
def test_a_bad_tokens_file_says_what_is_wrong_and_shows_no_token(
    tmp_path: Path, entries: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_tokens(write(tmp_path / "t.yml", *entries))
    assert said in str(caught.value)
    assert "a-token-of-enough-length" not in str(caught.value)


def test_nothing_is_served_without_tokens(tmp_path: Path) -> None:
    for path in (None, tmp_path / "missing.yml"):
        with pytest.raises(ConfigError, match="optiinfra tokens new"):
            load_tokens(path)
    (tmp_path / "bad.yml").write_text("- {a: b")
    with pytest.raises(ConfigError, match=r"bad\.yml line 1"):
        load_tokens(tmp_path / "bad.yml")


@pytest.mark.parametrize("before", ["- {name: a, role: viewer, token: aaaaaaaaaaaaaaaaaaaaaaaa}", "# tokens"])
def test_a_new_token_is_added_to_a_file_that_ends_without_a_newline(tmp_path: Path, before: str) -> None:
    file = tmp_path / "tokens.yml"
    file.write_text(before)
    token = new_token("b", Role.VIEWER, file)
    assert load_tokens(file).authenticate(token) is not None


def test_a_new_token_does_not_spoil_a_file_of_another_form(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yml"
    file.write_text("[]\n")
    with pytest.raises(ConfigError, match="begin with '- '"):
        new_token("b", Role.VIEWER, file)
    assert file.read_text() == "[]\n"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("PORT", "LOG_LEVEL", "DATABASE_URL", "OPTIINFRA_PROMETHEUS_URL", "OPTIINFRA_RECOMMENDER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_settings_listen_on_loopback_by_default(bare: pytest.MonkeyPatch) -> None:
    assert bare
    settings = load_settings()
    assert (settings.listen_address, settings.port) == ("127.0.0.1", 8002)


def test_a_flag_wins_over_the_environment_and_ours_over_the_general_name(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("PORT", "1")
    assert load_settings().port == 1
    bare.setenv("OPTIINFRA_RECOMMENDER_PORT", "2")
    assert load_settings().port == 2
    assert load_settings(port=3).port == 3
    bare.setenv("LOG_LEVEL", "WARNING")
    assert load_settings().log_level == "warning"
    bare.setenv("OPTIINFRA_PROMETHEUS_URL", "http://p:9090/")
    assert load_settings().prometheus_url == "http://p:9090"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "99999"), ("OPTIINFRA_PROMETHEUS_URL", "p:9090"), ("OPTIINFRA_BACKLOG_LIMIT", "0"), ("LOG_LEVEL", "x")],
)
def test_a_bad_setting_is_named(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(name, value)
    with pytest.raises(ConfigError):
        load_settings()


def test_the_database_url_may_be_in_a_file(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("sqlite:///x.db\n")
    bare.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert load_settings().database() == "sqlite:///x.db"
    bare.setenv("DATABASE_URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="DATABASE_URL_FILE"):
        load_settings().database()
    assert "password" not in repr(load_settings(database_url="postgresql://u:password@h/d"))


def say(store: Store, clock: Any, trigger: Trigger) -> WorkflowState:
    return decide(store, "w1", trigger, actor="ann", comment="so", now=clock.now()).state


def test_a_late_approval_finds_the_plan_expired(store: Store, make_workflow: Any, clock: Any) -> None:
    store.create(make_workflow(expires_at=clock.now() + timedelta(minutes=1)), [])
    clock.advance(60)
    with pytest.raises(Conflict, match="has expired"):
        say(store, clock, Trigger.APPROVE)
    assert store.workflow("w1").state is WorkflowState.EXPIRED


def test_a_word_that_was_said_changes_nothing_when_repeated(store: Store, make_workflow: Any, clock: Any) -> None:
    store.create(make_workflow(), [])
    assert say(store, clock, Trigger.APPROVE) is WorkflowState.APPROVED
    version = store.workflow("w1").version
    assert say(store, clock, Trigger.APPROVE) is WorkflowState.APPROVED
    assert store.workflow("w1").version == version
    assert store.workflow("w1").decided_by == "ann"
    with pytest.raises(Conflict, match="cannot reject"):
        say(store, clock, Trigger.REJECT)
    assert say(store, clock, Trigger.CANCEL) is WorkflowState.CANCELLED
    assert say(store, clock, Trigger.CANCEL) is WorkflowState.CANCELLED


def test_a_word_survives_a_write_in_between(
    store: Store, make_workflow: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(make_workflow(state=WorkflowState.CANARY, due_at=clock.now()), [])
    save = store.save

    def interrupted(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(store, "save", save)
        store.claim_due(clock.now(), "the reconciler", timedelta(minutes=1))
        return save(*arguments, **options)

    monkeypatch.setattr(store, "save", interrupted)
    assert say(store, clock, Trigger.CANCEL) is WorkflowState.ROLLING_BACK
    assert store.claim_due(clock.now(), "another", timedelta(minutes=1)) is None  # the step under way keeps its lease


def test_a_loop_works_until_there_is_nothing_wakes_at_once_and_outlives_errors() -> None:
    done, errors, turns = threading.Event(), [], iter([True, False, ZeroDivisionError, True, False])

    def step() -> bool:
        turn = next(turns, None)
        if turn is ZeroDivisionError:
            raise ZeroDivisionError
        if turn is None:
            done.set()
        return bool(turn)

    loop = Loop("test", step, SystemClock(), interval_seconds=30, on_error=errors.append)
    loop.start()
    for _ in range(200):  # each wake ends a 30 s sleep at once
        loop.wake()
        if done.wait(0.02):
            break
    assert done.is_set()
    assert errors == ["test"]
    assert loop.last_error() == ""
    assert loop.stop(5)


def test_health_shows_our_own_errors_in_words_and_of_others_only_the_name() -> None:
    """Health is open to anybody; a message of a library may quote what it was given."""
    failures = iter([ValueError("input_value='sk-secret'"), StoreUnavailable("the database failed: it is locked")])

    def step() -> bool:
        raise next(failures)

    loop = Loop("test", step, SystemClock(), interval_seconds=30, on_error=lambda _: None)
    said = [loop.turn() or loop.last_error() for _ in range(2)]
    assert said == ["ValueError; the log says more", "the database failed: it is locked"]
