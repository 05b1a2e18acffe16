"""P16: host memory is short."""

from recommender.playbooks.base import advising

PLAYBOOKS = (
    advising(
        "P16.1",
        "Free host memory",
        "Find the growing process and move or limit it. Shrink host-side KV pools (vLLM: --kv-offloading-size) and "
        "weight offload (--cpu-offload-gb) if they are used, and switch swap off on nodes that serve.",
    ),
)
