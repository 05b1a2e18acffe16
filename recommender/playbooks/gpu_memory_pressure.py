"""P01: device memory is nearly full and still grows."""

from recommender.playbooks.base import advising

PLAYBOOKS = (
    advising(
        "P01.1",
        "Find the other tenant",
        "See which processes hold memory on the GPU (nvidia-smi); one that is not the engine should move.",
    ),
    advising(
        "P01.2",
        "Lower the engine's share of device memory",
        "If the engine itself grows, lower its share by 0.03 (vLLM: --gpu-memory-utilization) or its tokens per step "
        "(--max-num-batched-tokens), so that an allocation peak fits. KV gets smaller by as much.",
    ),
)
