"""What the environment says. Resolved once, at start; flags win over it, and nothing else reads the environment."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recommender.errors import ConfigError
from recommender.inventory import check_http_url

Level = Literal["debug", "info", "warning", "error"]


def _env(*names: str) -> AliasChoices:
    """The first of `names` that is set wins."""
    return AliasChoices(*names)


class Settings(BaseSettings):
    """Settings of `optiinfra recommender`. Durations are in seconds. Secrets are named by the path of their file."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    listen_address: str = Field(
        "127.0.0.1", validation_alias=_env("OPTIINFRA_RECOMMENDER_LISTEN_ADDRESS", "OPTIINFRA_LISTEN_ADDRESS")
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8002, validation_alias=_env("OPTIINFRA_RECOMMENDER_PORT", "PORT")
    )
    log_level: Level = Field("info", validation_alias=_env("OPTIINFRA_LOG_LEVEL", "LOG_LEVEL"))
    environment: str = Field("production", validation_alias=_env("OPTIINFRA_ENVIRONMENT", "ENVIRONMENT"))
    agent_id: str = Field("", validation_alias=_env("OPTIINFRA_AGENT_ID", "AGENT_ID"))  # names this recommender

    database_url: str = Field(
        "sqlite:///optiinfra.db", validation_alias=_env("OPTIINFRA_DATABASE_URL", "DATABASE_URL"), repr=False
    )
    database_url_file: Path | None = Field(
        None, validation_alias=_env("OPTIINFRA_DATABASE_URL_FILE", "DATABASE_URL_FILE")
    )
    inventory: Path | None = Field(None, validation_alias=_env("OPTIINFRA_INVENTORY"))
    tokens_file: Path | None = Field(None, validation_alias=_env("OPTIINFRA_TOKENS_FILE"))

    prometheus_url: str = Field(
        "http://127.0.0.1:9090", validation_alias=_env("OPTIINFRA_PROMETHEUS_URL", "PROMETHEUS_URL")
    )
    prometheus_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        5.0, validation_alias=_env("OPTIINFRA_PROMETHEUS_TIMEOUT_SECONDS")
    )
    alertmanager_url: str | None = Field(None, validation_alias=_env("OPTIINFRA_ALERTMANAGER_URL", "ALERTMANAGER_URL"))

    polling_interval_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        1.0, validation_alias=_env("OPTIINFRA_POLLING_INTERVAL", "POLLING_INTERVAL")
    )
    backlog_limit: Annotated[int, Field(ge=1)] = Field(1000, validation_alias=_env("OPTIINFRA_BACKLOG_LIMIT"))
    max_body_bytes: Annotated[int, Field(ge=1024)] = Field(
        4 * 1024 * 1024, validation_alias=_env("OPTIINFRA_MAX_BODY_BYTES")
    )
    watchdog_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        900.0, validation_alias=_env("OPTIINFRA_WATCHDOG_TIMEOUT_SECONDS")
    )
    http_threads: Annotated[int, Field(ge=1, le=64)] = Field(8, validation_alias=_env("OPTIINFRA_HTTP_THREADS"))

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("prometheus_url", "alertmanager_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        return None if value is None else check_http_url(value)

    def database(self) -> str:
        """The database's URL, from its file when there is one. Raises ConfigError."""
        if self.database_url_file is None:
            return self.database_url
        try:
            return self.database_url_file.read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise ConfigError(f"cannot read DATABASE_URL_FILE {self.database_url_file}: {exc.strerror}") from exc


def load_settings(**flags: object) -> Settings:
    """Settings from the environment, with the flags that are not None on top. Raises ConfigError."""
    try:
        given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
        return Settings(**given)
    except ValidationError as exc:
        raise ConfigError("\n".join(f"{_name(error['loc'])}: {error['msg']}" for error in exc.errors())) from exc


def _name(loc: tuple[int | str, ...]) -> str:
    """How a person sets what is wrong: the name of its environment variable."""
    return str(loc[0]) if loc else "settings"
