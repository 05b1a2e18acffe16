"""P05: computing prompts takes the time. What a person can do, the cheap and certain first."""

from recommender.playbooks.base import advising

PLAYBOOKS = (
    advising(
        "P05.1",
        "Compute less of each prompt",
        "Route requests that share a prefix to the same replica and keep what changes (time, ids, retrieved text) at "
        "the end of the prompt: TTFT falls with the share of prompt tokens that is found in the prefix cache.",
    ),
    advising(
        "P05.2",
        "Size the step's token budget",
        "Where gaps between tokens are too long, halve the token budget of a step (vLLM max-num-batched-tokens, 2048 "
        "is a good floor): prompts are cut into smaller pieces. Where only the first token is late and gaps are well "
        "within their objective, double it, up to 8192. One replica first; compare TTFT p95 and ITL p99.",
    ),
    advising(
        "P05.4",
        "Keep long prompts apart",
        "With two replicas or more, send prompts above the 90th percentile of length to a pool of their own, so that "
        "short ones do not wait behind them.",
    ),
    advising(
        "P05.6",
        "Add compute",
        "More replicas, tensor parallelism over NVLink, or FP8 weights and activations where the GPU has it (compute "
        "capability 8.9 and above; check answers before and after).",
    ),
)
