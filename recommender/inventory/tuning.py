"""What the recommender guesses or chooses when it sizes a change: one field each, a site may set its own.

`services.<name>.tuning` of the inventory. Every default is a figure of docs/reference/tuning.md, named in the field's
comment; those marked [G] there are guesses that nobody has published a proof of. Thresholds that the rules read too
are series (`rules/thresholds.yml`), not here.
"""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from recommender.inventory.base import Config
from recommender.ledger import LedgerConfig
from recommender.sizing import steps

Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=1, le=64, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=1 << 26)]
PlaybookId = Annotated[str, Field(pattern=r"^P\d{2}(\.\d{1,2})?$")]


class PlaybookSwitches(Config):
    """Which playbooks are used, and which are tried first.

    An entry is one playbook ("P02.7") or a whole class ("P02"). What is disabled is neither proposed nor advised.
    `order` goes before the shipped order, cheapest and safest first; it cannot bring a riskier class of change before
    a safer one unless it names it.
    """

    disabled: tuple[PlaybookId, ...] = ()
    order: tuple[PlaybookId, ...] = ()

    @field_validator("disabled", "order")
    @classmethod
    def _each_once(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(entries)) != len(entries):
            raise ValueError("a playbook is listed twice; list each once")
        return entries

    def uses(self, identifier: str) -> bool:
        """Whether a playbook is switched on."""
        return not any(_names(entry, identifier) for entry in self.disabled)

    def place(self, identifier: str) -> int:
        """Its place in `order`; one behind the last for a playbook that is not named there."""
        return next((n for n, entry in enumerate(self.order) if _names(entry, identifier)), len(self.order))


def _names(entry: str, identifier: str) -> bool:
    return identifier == entry or identifier.startswith(f"{entry}.")


class SuccessConfig(Config):
    """When a change has worked, as a person can ask Prometheus (tuning §3.1); a verdict has statistics besides."""

    kv_usage_max: Ratio = 0.85  # P02
    queue_share_max: Ratio = 0.3  # P03, of TTFT
    waiting_max: Amount = 3.0  # P03, requests of a replica
    fullness_max: Ratio = 0.9  # P04, batch over its limit
    admitted_waiting_max: Amount = 1.0  # P04
    itl_tail_max: Factor = 3.0  # P05, p99 over p50
    itl_median_ratio: Ratio = 0.9  # P06, after over before
    tokens_per_running_ratio: Factor = 1.05  # P08, after over before
    reuse_share: Ratio = 0.8  # P09, hits over what could hit
    device_memory_max: Ratio = 0.96  # P01, of the fullest GPU
    cpu_pressure_max: Ratio = 0.1  # P15, time that tasks wait for a CPU
    host_memory_available_min: Ratio = 0.15  # P16
    host_memory_pressure_max: Ratio = 0.05  # P16, time that tasks wait for memory
    latency_worse_ratio: Factor = 1.15  # common roll-back: TTFT or ITL p95 of the canary over the control's
    throughput_worse_ratio: Ratio = 0.9  # common roll-back: tokens per running request, likewise


class TuningConfig(Config):
    """How changes of one service are sized. The step rule, in one place:

    A step is at most `step_max_ratio` times the old value, up or down, and +`memory_fraction_step` for a share of
    device memory. Only `max_running_requests` may go further, up to `step_wide_ratio` times, and only while after the
    step at least `step_wide_free_kv_ratio` of the KV capacity would stay free at the KV tokens that a request holds
    now, and ITL is known to stay within its objective: by the fitted model, or because it cannot grow faster than the
    batch. Neither memory nor latency can go wrong there.
    """

    playbooks: PlaybookSwitches = PlaybookSwitches()
    success: SuccessConfig = SuccessConfig()
    ledger: LedgerConfig = LedgerConfig()
    start_seconds: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] | None = None  # until it is measured

    # -- the step rule (tuning §3: change-size cap [G])
    step_max_ratio: Factor = steps.MAX_STEP_RATIO
    step_wide_ratio: Factor = steps.WIDE_STEP_RATIO  # [G]: four changes from 1 to 256 slots
    step_wide_free_kv_ratio: Ratio = steps.WIDE_STEP_FREE_KV  # [G]
    memory_fraction_step: Ratio = steps.MAX_MEMORY_STEP  # of device memory
    memory_fraction_max: Ratio = steps.MAX_MEMORY_FRACTION  # P02 no. 4
    memory_reserve_bytes: Amount = steps.MEMORY_RESERVE_BYTES  # P02 no. 4: graphs, driver; SGLang says 5-8 GB

    # -- batch limit (P02 no. 5, P04 no. 1, P06 no. 2)
    kv_fill_when_raising: Ratio = steps.KV_FILL_WHEN_RAISING  # P04 no. 1
    kv_fill_when_lowering: Ratio = steps.KV_FILL_WHEN_LOWERING  # P02 no. 5
    kv_fill_of_gateway: Ratio = steps.KV_FILL_OF_GATEWAY  # P02 no. 1
    itl_headroom_ratio: Factor = steps.ITL_HEADROOM  # P04 no. 1: a fitted mean against a p95 objective
    itl_trade_ratio: Factor = 1.2  # P04: roll back at ITL p95 +20 %, where no objective says what is acceptable
    ttft_trade_ratio: Factor = 1.15  # P02: roll back at TTFT p95 +15 %

    # -- replicas (P02 no. 3, P03 no. 2, P05 no. 6)
    scale_out_kv_usage: Ratio = steps.SCALE_OUT_KV_USAGE
    scale_out_utilization: Ratio = steps.SCALE_OUT_UTILIZATION
    backlog_seconds: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] = steps.BACKLOG_SECONDS  # [G]
    scale_out_prefill: Ratio = 0.6  # P05 no. 6

    # -- token budget of a step (P05 no. 2, 3)
    token_budget_min: Tokens = 512
    token_budget_max: Tokens = 8192  # above only for throughput on small models and large GPUs
    activation_bytes_per_token: Amount = 256 * 2**10  # [G]: of a step; a bound for 70B models, where no model is known
    itl_slack_ratio: Ratio = 0.5  # [G]: of the ITL objective; below it a bigger budget may lengthen steps
    step_full_ratio: Ratio = 0.8  # [G]: tokens of a mean step over the budget, from which prompts wait for it
    ttft_slack_ratio: Ratio = 0.8  # [G]: of the TTFT objective; below it a smaller budget may delay first tokens

    # -- admission (SGLang: P02, P04 no. 2)
    conservativeness_low: Amount = 0.3
    conservativeness_high: Amount = 1.3

    # -- context and offload (P02 no. 6, no. 10, P09 no. 5, P16)
    longest_request_tokens: Tokens | None = None  # p99.9 of prompt + output, from the team: no engine tells it
    context_headroom_ratio: Factor = 1.25  # P02 no. 6
    context_step_tokens: Tokens = 1024  # P02 no. 6: rounded up to
    kv_reuse_window_seconds: Annotated[float, Field(gt=0, le=7 * 86400, allow_inf_nan=False)] = 600.0  # P09 no. 5 [G]
    offload_min_missed_ratio: Ratio = 0.3  # P05 no. 8: r* less hits, of prompt tokens; below it copies cost more
    host_memory_share: Ratio = 0.7  # P16: of the memory that is available, for pinned pools
    prefix_reuse_ratio: Ratio | None = None  # r*: share of prompt tokens seen before (B09), from the team

    # -- precision and speculation (P02 no. 7, P05 no. 5, P06 no. 3-5)
    int4_max_batch: Tokens = 32  # §2.7: 4-bit weights gain to a batch of 16-32, and fade by 64-128
    fp8_kv_context_tokens: Tokens = 7000  # §2.7: below it, and with room for KV, FP8 KV brings nothing
    quality_max_drop_ratio: Ratio = 0.01  # §7.2 no. 7: accuracy of at least 99 % of the baseline
    speculative_tokens: Tokens = 3  # drafted per verification where none is set
    speculation_acceptance: Ratio = 0.6  # [G]: of drafted tokens, before there is a measurement
    speculation_draft_cost: Amount = 0.05  # [G]: a draft step over a step of the model
    speculation_min_speedup: Factor = 1.15  # §2.7: enable above
    speculation_room: Ratio = 0.5  # P06 no. 5: running·(k + 1) below this share of the ridge batch
    speculation_min_acceptance: Ratio = 0.4  # P06: roll back below

    # -- device memory (P01)
    device_memory_target: Ratio = 0.95  # [G]: use to come back to; the alert is at 0.97, verified below 0.96
    beside_engine_bytes: Amount = 8 * 2**30  # [G]: graphs and driver beside the share; P01 no. 5 says 0.2 to 5 GB
    batch_of_decode_peak: Ratio = 0.9  # P01 no. 4: of the largest batch that ran
    graph_bytes: Amount = 16 * 2**20  # P01 no. 5: 10-23 MB a captured batch size

    # -- heat and power: P12 and P13
    power_step: Ratio = 0.10  # of the limit, a step
    thermal_margin_celsius: Amount = 5.0  # P12 no. 3: below the temperature at which clocks are slowed down
    inlet_celsius: Annotated[float, Field(ge=-20, le=60, allow_inf_nan=False)] | None = None  # P12: no exporter tells

    # -- hosts: P15 and P16
    cores_per_engine: Amount = 2.0  # P15 no. 1: physical cores, and one for each GPU
    streamed_tokens_per_core: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1500.0  # P15 no. 1 [G]: a second
    frontend_utilization: Ratio = 0.7  # P15 no. 2: of an API or tokeniser process
    memory_limit_headroom: Factor = 1.2  # P16: memory limit over the 99th percentile of what the engine holds
    model_file_headroom: Factor = 1.5  # P16 [G]: host memory over the model file, where weights are mapped from it
    host_memory_bytes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # of a node, from the team
    host_cores: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # physical, of a node, from the team

    # -- networks and errors: P18 and P25
    kv_transfer_link_share: Ratio = 0.5  # B18 [G]: of a link, for KV that goes from prefill to decode
    error_replica_ratio: Factor = 3.0  # [G]: errors of one replica over those of the others that make them its own

    # -- money: P10 and P24
    # From the team, by GPU.
    gpu_price_per_hour: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    right_sizing_min_saving: Ratio = 0.2  # [G]: of the cost of a token; less is not worth a move

    # -- expected effects
    prior_share: Ratio = 0.5  # §3: mid is half of the mid-range of §2.7 until the site has results [G]

    @property
    def step_rule(self) -> steps.StepRule:
        """The step rule, as sizing takes it."""
        return steps.StepRule(self.step_max_ratio, self.step_wide_ratio, self.step_wide_free_kv_ratio)

    @model_validator(mode="after")
    def _ordered(self) -> "TuningConfig":
        for low, high in (
            ("step_max_ratio", "step_wide_ratio"),
            ("token_budget_min", "token_budget_max"),
            ("conservativeness_low", "conservativeness_high"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not be above {high}")
        return self
