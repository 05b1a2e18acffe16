"""What agents say, what is kept of it, and what the age of the last word means."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from recommender.inventory import check_http_url

_ALIVE_INTERVALS = 2.5  # one heartbeat may be lost
_LATE_INTERVALS = 10.0

AgentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Word = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,128}$")]
_Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AgentState(StrEnum):
    """How an agent is, judged by the age of its last word alone."""

    ALIVE = "alive"
    LATE = "late"
    GONE = "gone"


class _Said(BaseModel):
    """What an agent sends. Fields that we do not know are left aside: exporters may be newer than we are."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Gpu(_Said):
    """One GPU of an agent's machine."""

    gpu: _Word
    uuid: _Word = ""
    name: _Word = ""


class Capabilities(_Said):
    """What an exporter can do. `gpus` is null where it cannot tell."""

    collectors: Annotated[tuple[_Word, ...], Field(max_length=64)] = ()
    probe: bool = False
    blackbox: bool = False
    gpus: Annotated[tuple[Gpu, ...], Field(max_length=64)] | None = None


class Registration(_Said):
    """An agent introduces itself. Its URL is for people: nothing here ever connects to it."""

    id: AgentId
    hostname: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,253}$")]
    version: _Word = ""
    exporter_url: Annotated[str, Field(max_length=2048)] | None = None
    heartbeat_interval_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    capabilities: Capabilities = Capabilities()

    @field_validator("exporter_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        return None if value is None else check_http_url(value)


class Figures(_Said):
    """How an exporter does, in its own words; null is not known."""

    uptime_seconds: _Amount | None = None
    collectors_ok: Annotated[dict[_Word, bool], Field(max_length=64)] = {}
    gpus_seen: _Count | None = None
    scrapes_served: _Count | None = None
    cpu_seconds_total: _Amount | None = None
    resident_memory_bytes: _Count | None = None


class Heartbeat(_Said):
    """An agent lives."""

    id: AgentId
    figures: Figures | None = None


class Agent(BaseModel):
    """An agent as it is known here. `token` is the name of the token that it registered with."""

    model_config = ConfigDict(frozen=True)

    registration: Registration
    token: str
    registered_at: datetime
    last_seen_at: datetime
    figures: Figures | None

    def state(self, now: datetime) -> AgentState:
        """What the age of its last word means, against the interval that it promised."""
        missed = (now - self.last_seen_at).total_seconds() / self.registration.heartbeat_interval_seconds
        if missed <= _ALIVE_INTERVALS:
            return AgentState.ALIVE
        return AgentState.LATE if missed <= _LATE_INTERVALS else AgentState.GONE
