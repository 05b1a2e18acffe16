"""`services.<name>.verification` of the inventory: how a change is judged."""

from typing import Annotated

from pydantic import Field, model_validator

from recommender.inventory.base import Config, Ratio, Seconds


class VerificationConfig(Config):
    """How a change is judged. Defaults are tuning §7.2; a demo may shorten the times, hardly ever the limits."""

    settle_seconds: Annotated[float, Field(ge=0, le=86400)] = 600.0  # no. 2: warm-up that is not judged
    window_seconds: Seconds = 900.0  # no. 3: at least 15 minutes
    interval_seconds: Seconds = 60.0  # no. 3: one sample a minute, so 15 points
    min_requests: Annotated[int, Field(ge=0)] = 400  # no. 4: a p95 within 25 %
    min_tokens: Annotated[int, Field(ge=0)] = 20000  # of an engine that counts no requests: 50 tokens each [G]
    min_probed_minutes: Annotated[int, Field(ge=0)] = 10  # of one that counts nothing [G]
    max_extensions: Annotated[int, Field(ge=0, le=5)] = 1  # no. 6: inconclusive extends once, then rolls back
    min_improvement: Ratio = 0.03  # no. 6: less proves nothing
    ttft_p95_max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.10  # no. 6: relative guards
    itl_p95_max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.10
    error_ratio_max_increase: Ratio = 0.005  # no. 6: half a percentage point
    preemptions_per_request_max: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05  # no. 6
    # Guards of engines that do not tell what the ones above are read from, all [G].
    generation_tokens_min_ratio: Ratio = 0.9  # errors unknown: requests that fail give no tokens
    paused_max_ratio: Ratio = 0.05  # preemptions unknown: requests that are paused, of the batch
    requests_waiting_tolerated: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0  # TTFT unknown: a longer queue
    probe_max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.2  # few probes tell less finely
    probe_failures_max_increase: Ratio = 0.1  # one of fifteen may be chance

    @model_validator(mode="after")
    def _window_holds_samples(self) -> "VerificationConfig":
        if self.window_seconds < 3 * self.interval_seconds:
            raise ValueError(
                "window_seconds must hold at least 3 intervals; lower interval_seconds or widen the window"
            )
        return self
