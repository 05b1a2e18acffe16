"""What a prefix cache is worth: prompts that need not be computed, and where it pays to load them (tuning §2.4)."""

from recommender.sizing.result import NotApplicable, Sized


def ttft_ratio(
    hit_before: float | None,
    hit_after: float | None,
    prompt_tokens: float | None,
    token_seconds: float | None,
    *,
    other_seconds: float = 0.0,
) -> Sized | NotApplicable:
    """TTFT after over before when the hit ratio changes: (other + N·(1 - hit)·t_token) after over before.

    `other_seconds` is what lies before the first token besides the prompt: the queue and the decode part of a step.
    """
    if hit_before is None or hit_after is None or prompt_tokens is None or token_seconds is None:
        return NotApplicable("the hit ratio, the length of prompts or the time of a prompt token is unknown")
    if not (0 <= hit_before <= 1 and 0 <= hit_after <= 1) or min(prompt_tokens, token_seconds) <= 0:
        return NotApplicable("a hit ratio is 0-1, and prompts and their tokens are above zero")
    before = other_seconds + prompt_tokens * (1 - hit_before) * token_seconds
    after = other_seconds + prompt_tokens * (1 - hit_after) * token_seconds
    if before <= 0:
        return NotApplicable("prompts are all cached already")
    return Sized(
        after / before,
        f"({other_seconds:.3g} s + {prompt_tokens:g}·{1 - hit_after:.3g}·t)/({other_seconds:.3g} s + "
        f"{prompt_tokens:g}·{1 - hit_before:.3g}·t), t = {token_seconds:.3g} s a token",
        {
            "hit_before": hit_before,
            "hit_after": hit_after,
            "prompt_tokens": prompt_tokens,
            "token_seconds": token_seconds,
            "other_seconds": other_seconds,
        },
    )


def offload_gain(
    kv_bytes_per_token: float | None, link_bytes_per_second: float | None, token_seconds: float | None
) -> Sized | NotApplicable:
    """How much cheaper it is to load a token's KV over a link than to compute it: t_token/(kv/BW_link).

    Above 1 offload to what is behind the link pays (tuning §2.4); by how much TTFT falls depends on what hits.
    """
    if kv_bytes_per_token is None or link_bytes_per_second is None or token_seconds is None:
        return NotApplicable("KV bytes per token, the bandwidth of the link or the time of a prompt token is unknown")
    if min(kv_bytes_per_token, link_bytes_per_second, token_seconds) <= 0:
        return NotApplicable("KV bytes, bandwidth and the time of a token are above zero")
    load = kv_bytes_per_token / link_bytes_per_second
    return Sized(
        token_seconds / load,
        f"{token_seconds * 1e6:.3g} us to compute a token/{load * 1e6:.3g} us to load it",
        {
            "kv_bytes_per_token": kv_bytes_per_token,
            "link_bytes_per_second": link_bytes_per_second,
            "token_seconds": token_seconds,
        },
    )
