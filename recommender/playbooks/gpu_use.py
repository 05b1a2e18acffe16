"""P06, P10: decode that waits for device memory, and GPUs that are held for nothing."""

from recommender.playbooks.base import advising

DECODE_BANDWIDTH_BOUND = (
    advising(
        "P06.2",
        "Run fewer requests at once on each replica",
        "Time per token grows about linearly with the batch: lower the batch limit until ITL p95 is within its "
        "objective, and add replicas for what then waits.",
    ),
    advising(
        "P06.3",
        "Read fewer bytes per step",
        "Quantised weights (FP8 takes about 0.6 to 0.75 of the time per token, INT4 0.4 to 0.6 at small batches; check "
        "answers before and after), and an FP8 KV cache where contexts are longer than 7,000 tokens.",
    ),
    advising(
        "P06.5",
        "Speculate while the batch is small",
        "Speculative decoding helps where arithmetic is idle; take it back when fewer than 40 % of the drafted tokens "
        "are accepted or ITL p50 does not fall by a tenth.",
    ),
    advising(
        "P06.6",
        "Use more or faster memory",
        "Tensor parallelism over NVLink (twice the GPUs give about 0.6 of the time per token), or a GPU with more "
        "bandwidth.",
    ),
)

IDLE = (
    advising(
        "P10.1",
        "Ask whether it is a spare",
        "A warm spare, a replica for disaster recovery or a service that is used at other hours is meant to be idle: "
        "look at a week before anything else.",
    ),
    advising(
        "P10.2",
        "Give the GPU back",
        "Scale the service in by one replica, put small models together on one GPU (several models, MIG, sleep mode), "
        "or scale to zero where users can wait for a cold start.",
    ),
)
