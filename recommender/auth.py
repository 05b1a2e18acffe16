"""Bearer tokens and roles. Only hashes are kept; comparing takes the same time whatever is sent."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from recommender.errors import ConfigError

_MIN_TOKEN_CHARACTERS = 16
_HOW = "make one with: optiinfra tokens new --name me --role approver --file tokens.yml"


class Role(StrEnum):
    """What a token may do. admin may what approver may, approver what viewer may; the others are apart."""

    VIEWER = "viewer"
    APPROVER = "approver"
    ADMIN = "admin"
    AGENT = "agent"
    ALERT_SOURCE = "alert_source"


_INCLUDES: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.APPROVER: frozenset({Role.VIEWER, Role.APPROVER}),
    Role.ADMIN: frozenset({Role.VIEWER, Role.APPROVER, Role.ADMIN}),
    Role.AGENT: frozenset({Role.AGENT}),
    Role.ALERT_SOURCE: frozenset({Role.ALERT_SOURCE}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the token's name and role."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this principal may do what `role` may."""
        return role in _INCLUDES[self.role]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    role: Role
    token: str | None = Field(None, repr=False)
    token_file: Path | None = None
    token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> "_Entry":
        if sum(value is not None for value in (self.token, self.token_file, self.token_sha256)) != 1:
            raise ValueError("give exactly one of token_sha256, token_file, token")
        return self

    def digest(self, directory: Path) -> str:
        if self.token_sha256 is not None:
            return self.token_sha256
        token = self.token if self.token is not None else self._read(directory)
        if len(token) < _MIN_TOKEN_CHARACTERS:
            raise ConfigError(f"token '{self.name}' is shorter than {_MIN_TOKEN_CHARACTERS} characters; {_HOW}")
        return digest(token)

    def _read(self, directory: Path) -> str:
        path = directory / (self.token_file or "")
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"token '{self.name}': cannot read token_file {path}") from exc


def digest(token: str) -> str:
    """The SHA-256 of a token. Tokens are random, so no salt and no slow hash are needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Tokens:
    """All tokens that are accepted, as (hash, principal)."""

    def __init__(self, entries: Sequence[tuple[str, Principal]]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def roles(self) -> frozenset[Role]:
        """Roles that some token has."""
        return frozenset(principal.role for _, principal in self._entries)

    def authenticate(self, token: str) -> Principal | None:
        """Who has this token. Compares with every entry, so that time tells nothing."""
        sent, found = digest(token), None
        for known, principal in self._entries:
            if hmac.compare_digest(sent, known):
                found = principal
        return found


def load_tokens(path: Path | None) -> Tokens:
    """The tokens of a file. Raises ConfigError: nothing is served without tokens, and none are made silently."""
    if path is None:
        raise ConfigError(f"OPTIINFRA_TOKENS_FILE is not set, and nothing acts unauthenticated; {_HOW}")
    entries = _read(path)
    if not entries:
        raise ConfigError(f"{path.name} holds no tokens; {_HOW}")
    found: dict[str, Principal] = {}
    for entry in entries:
        hashed = entry.digest(path.parent)
        if hashed in found:
            raise ConfigError(f"{path.name}: '{entry.name}' and '{found[hashed].name}' have the same token")
        if entry.name in {principal.name for principal in found.values()}:
            raise ConfigError(f"{path.name}: the name '{entry.name}' is there twice; audit rows must tell them apart")
        found[hashed] = Principal(entry.name, entry.role)
    return Tokens(list(found.items()))


def new_token(name: str, role: Role, path: Path) -> str:
    """Make a token, append its hash to the file, and return it: it is shown this once. Raises ConfigError."""
    exists = path.exists()
    entries = _read(path) if exists else []
    if name in {entry.name for entry in entries}:
        raise ConfigError(f"{path.name} already has a token named '{name}'; choose another name")
    token = token_urlsafe(32)
    entry = _Entry.model_validate({"name": name, "role": role, "token_sha256": digest(token)})
    line = yaml.safe_dump([entry.model_dump(mode="json", exclude_none=True)], sort_keys=False)
    try:
        before = path.read_text(encoding="utf-8") if exists else ""
        line = line if before.endswith("\n") or not before else f"\n{line}"
        if not _adds_one(before, line):
            raise ConfigError(f"{path.name} is not a list of lines that begin with '- '; write it so, then repeat")
        path.touch(mode=0o600)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror}") from exc
    return token


def _adds_one(before: str, line: str) -> bool:
    """Whether the file with `line` behind it is the list that it was and one entry more."""
    try:
        known, after = yaml.safe_load(before) or [], yaml.safe_load(before + line)
    except yaml.YAMLError:
        return False
    return isinstance(after, list) and after[:-1] == known


def _read(path: Path) -> list[_Entry]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[_Entry]).validate_python(data or [])
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read the tokens file {path}; {_HOW}") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise ConfigError(f"{path.name} line {mark.line + 1 if mark else 1}: not valid YAML") from exc
    except ValidationError as exc:
        findings = (f"{path.name} entry {_place(error['loc'])}: {error['msg']}" for error in exc.errors())
        raise ConfigError("\n".join(findings)) from exc


def _place(loc: tuple[int | str, ...]) -> str:
    """`2 role` for the role of the second entry."""
    return " ".join(str(part + 1) if isinstance(part, int) else part for part in loc) or "1"
