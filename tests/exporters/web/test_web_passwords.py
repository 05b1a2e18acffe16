"""Passwords against bcrypt hashes: right, wrong, remembered, guessed."""

import threading
from collections.abc import Callable
from typing import Any

import bcrypt
import pytest

from exporters.errors import TooManyChecks
from exporters.web.passwords import PasswordChecks


@pytest.fixture(name="costly")
def _costly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that bcrypt was really run against."""
    ran: list[str] = []
    real = bcrypt.checkpw

    def counted(password: bytes, digest: bytes) -> bool:
        ran.append(digest.decode())
        return real(password, digest)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return ran


@pytest.fixture(name="checks")
def _checks() -> PasswordChecks:
    return PasswordChecks(b"key", remembered=2, waiting=2)


def test_the_right_password_is_right_and_costs_bcrypt_once(
    checks: PasswordChecks, hashed: Callable[[str], str], costly: list[str]
) -> None:
    users = {"alice": hashed("secret")}

    assert all(checks.right(users, "alice", b"secret") for _ in range(5))
    assert len(costly) == 1


def test_a_wrong_password_is_wrong_and_costs_bcrypt_each_time(
    checks: PasswordChecks, hashed: Callable[[str], str], costly: list[str]
) -> None:
    users = {"alice": hashed("secret")}
    checks.right(users, "alice", b"secret")

    assert not any(checks.right(users, "alice", wrong) for wrong in (b"", b"Secret", b"secret\0", b"secre", b"x", b"x"))
    assert len(costly) == 7


def test_an_unknown_user_costs_as_much_as_the_costliest_and_never_gets_in(
    checks: PasswordChecks, costly: list[str]
) -> None:
    users = {name: bcrypt.hashpw(b"secret", bcrypt.gensalt(cost)).decode() for name, cost in (("a", 4), ("b", 6))}

    assert not checks.right(users, "mallory", b"secret")
    assert costly[0].startswith("$2b$06$")
    assert costly[0] not in users.values()


def test_a_changed_or_removed_hash_ends_what_was_remembered(
    checks: PasswordChecks, hashed: Callable[[str], str]
) -> None:
    before = {"alice": hashed("secret")}
    assert checks.right(before, "alice", b"secret")

    assert not checks.right({"alice": hashed("new")}, "alice", b"secret")
    assert not checks.right({}, "alice", b"secret")


def test_name_and_password_cannot_be_shifted_into_each_other(
    checks: PasswordChecks, hashed: Callable[[str], str]
) -> None:
    digest = hashed("bc")
    users = {"a": digest, "ab": digest}
    assert checks.right(users, "a", b"bc")

    assert not checks.right(users, "ab", b"c")
    assert not checks.right(users, "a" + digest, b"bc")


def test_few_are_remembered_and_the_oldest_is_forgotten(
    checks: PasswordChecks, hashed: Callable[[str], str], costly: list[str]
) -> None:
    users = {name: hashed("secret") for name in "abc"}
    for name in "abcca":
        assert checks.right(users, name, b"secret")

    assert len(costly) == 4


def test_of_a_long_password_bcrypt_reads_the_first_72_bytes_as_other_programs_have_it(
    checks: PasswordChecks, hashed: Callable[[str], str]
) -> None:
    users = {"alice": hashed("x" * 72)}

    assert checks.right(users, "alice", b"x" * 100)
    assert not checks.right(users, "alice", b"x" * 71)


def test_guessers_wait_in_a_short_line_that_those_who_are_known_pass_by(
    checks: PasswordChecks, hashed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = {"alice": hashed("secret")}
    checks.right(users, "alice", b"secret")
    entered, gate = threading.Event(), threading.Event()

    def slow(*_: Any) -> bool:
        entered.set()
        assert gate.wait(timeout=30)
        return False

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    refused = threading.Semaphore(0)

    def guess() -> None:
        try:
            checks.right(users, "alice", b"guess")
        except TooManyChecks:
            refused.release()

    guessers = [threading.Thread(target=guess) for _ in range(5)]
    for guesser in guessers:
        guesser.start()
    try:
        assert entered.wait(timeout=30)
        assert all(refused.acquire(timeout=30) for _ in range(3))
        assert checks.right(users, "alice", b"secret")
    finally:
        gate.set()
        for guesser in guessers:
            guesser.join(timeout=30)
