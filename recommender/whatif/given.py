"""What a person gives of a service on the command line, where neither its engines nor an inventory tell it."""

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from recommender.errors import ConfigError
from recommender.inventory import DeclaredSettings, Inventory, InventoryProblems, ServiceConfig
from recommender.model import KnobValue

_TOP = frozenset({"model", "model_config", "engine_version"})
_HARDWARE = frozenset({"gpu", "gpus_per_replica", "weight_dtype"})
# What asks call a fact -> what it is given by.
GIVABLE: Mapping[str, str] = {
    **{name: name for name in ("model", "engine_version", *sorted(_HARDWARE), *DeclaredSettings.model_fields)},
    "kv_dtype": "kv_cache_dtype",
    "tensor_parallel": "tensor_parallel_size",
}


def with_given(config: ServiceConfig, given: Mapping[str, KnobValue]) -> ServiceConfig:
    """The configuration with these facts and settings, which go before its own.

    Names are `model`, `model_config`, `engine_version`, `gpu`, `gpus_per_replica`, `weight_dtype`, else settings of the
    inventory. Raises ConfigError where one is unknown, or not legal for the engine.
    """
    if not given:
        return config
    data = config.model_dump(by_alias=True, exclude_defaults=True) | {"engine": config.engine}
    for name, value in given.items():
        if name in _TOP:
            data[name] = str(value)
        else:
            section = "hardware" if name in _HARDWARE else "settings"
            data[section] = {**data.get(section, {}), name: value}
    try:
        return Inventory.model_validate({"services": {"given": data}}).services["given"]
    except ValidationError as exc:
        raise ConfigError("; ".join(f"--given {text}" for text in _problems(exc))) from exc


def _problems(exc: ValidationError) -> Iterator[str]:
    for error in exc.errors():
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, InventoryProblems):
            yield from (f"{path[-1]}: {text}" for path, text in cause.problems)
        elif error["type"] == "extra_forbidden":
            yield f"{error['loc'][-1]}: no fact or setting has this name; see docs/whatif.md"
        else:
            yield f"{error['loc'][-1]}: {error['msg']}"
