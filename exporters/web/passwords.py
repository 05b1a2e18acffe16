"""Checks passwords against bcrypt hashes: slow for a guesser, quick for who is known."""

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Mapping

import bcrypt

from exporters.errors import TooManyChecks

# bcrypt reads no more of a password; its library refuses what other programs cut.
_LONGEST = 72
_DEFAULT_COST = 10


class PasswordChecks:
    """Remembers which passwords were right, so that a scrape does not cost a bcrypt each time; thread-safe.

    What is remembered is a keyed digest of name, hash and password, so neither a password stays in memory nor does a
    changed hash let the old one in. Wrong ones are not remembered. One bcrypt runs at a time and few wait for it:
    guessing takes neither all cores nor all threads.
    """

    def __init__(self, key: bytes, *, remembered: int = 128, waiting: int = 8) -> None:
        """`key` is random and of this process alone."""
        self._key = key
        self._remembered = remembered
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._one = threading.Lock()
        self._waiting = threading.BoundedSemaphore(waiting)

    def right(self, users: Mapping[str, str], name: str, password: bytes) -> bool:
        """Whether `password` is that of `name`; `users` maps names to bcrypt hashes.

        An unknown name takes as long as a wrong password. Raises TooManyChecks when too many are under way.
        """
        digest = users.get(name)
        seal = self._seal(name, digest or "", password)
        if digest is not None and self._known(seal):
            return True
        right = self._bcrypt(password, digest or _nobodys(users)) and digest is not None
        if right:
            self._remember(seal)
        return right

    def _bcrypt(self, password: bytes, digest: str) -> bool:
        if not self._waiting.acquire(blocking=False):
            raise TooManyChecks("too many password checks at once")
        try:
            with self._one:
                return bcrypt.checkpw(password[:_LONGEST], digest.encode())
        finally:
            self._waiting.release()

    def _seal(self, name: str, digest: str, password: bytes) -> bytes:
        parts = (name.encode(), digest.encode(), password)
        # Lengths before the parts: ("ab", "c") must not be ("a", "bc").
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256)

    def _known(self, seal: bytes) -> bool:
        with self._lock:
            if seal not in self._right:
                return False
            self._right.move_to_end(seal)
            return True

    def _remember(self, seal: bytes) -> None:
        with self._lock:
            self._right[seal] = None
            if len(self._right) > self._remembered:
                self._right.popitem(last=False)


def _nobodys(users: Mapping[str, str]) -> str:
    """A hash that no password has, as costly as the costliest of the users'."""
    cost = max((int(digest.split("$")[2]) for digest in users.values()), default=_DEFAULT_COST)
    return f"$2b${cost:02}${'.' * 53}"
