"""`services.<name>.settings` of the inventory: what the team started its engines with."""

from typing import Annotated

from pydantic import Field

from recommender.inventory.base import Config
from recommender.model import KnobValue

# A choice of a knob; which ones there are, its engine's catalogue says.
Word = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]


class DeclaredSettings(Config):
    """Knob values as the team started its engines with, by engine-neutral name: used where no engine tells them."""

    max_running_requests: Annotated[int, Field(ge=1)] | None = None
    max_batched_tokens: Annotated[int, Field(ge=1)] | None = None
    kv_cache_memory_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    kv_cache_memory_bytes: Annotated[int, Field(ge=1)] | None = None
    kv_cache_capacity_tokens: Annotated[int, Field(ge=1)] | None = None
    kv_cache_dtype: Word | None = None
    prefix_caching: bool | None = None
    chunked_prefill: bool | None = None
    kv_offload_bytes: Annotated[int, Field(ge=1)] | None = None
    max_model_length_tokens: Annotated[int, Field(ge=1)] | None = None  # of one request
    context_tokens: Annotated[int, Field(ge=1)] | None = None  # of all slots together
    weight_quantization: Word | None = None
    tensor_parallel_size: Annotated[int, Field(ge=1)] | None = None
    pipeline_parallel_size: Annotated[int, Field(ge=1)] | None = None
    data_parallel_size: Annotated[int, Field(ge=1)] | None = None
    speculative_tokens: Annotated[int, Field(ge=0)] | None = None
    speculative_decoding: Word | None = None
    graph_max_batch: Annotated[int, Field(ge=1)] | None = None
    scheduling_policy: Word | None = None
    admission_conservativeness: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    capacity_policy: Word | None = None
    queue_limit_requests: Annotated[int, Field(ge=0)] | None = None
    api_server_processes: Annotated[int, Field(ge=1)] | None = None
    cpu_threads: Annotated[int, Field(ge=1)] | None = None
    model_keep_alive_seconds: Annotated[int, Field(ge=-1)] | None = None  # -1: for ever
    loaded_models_max: Annotated[int, Field(ge=1)] | None = None
    external_cache_bytes: Annotated[int, Field(ge=1)] | None = None
    external_cache_hot: bool | None = None

    def declared(self) -> dict[str, KnobValue]:
        """The settings that the inventory gives, by knob."""
        return {name: value for name, value in self if value is not None}
