"""P15: host CPUs hold the engine back."""

from recommender.playbooks.base import advising

PLAYBOOKS = (
    advising(
        "P15.1",
        "Give the engine its CPUs",
        "Find what else runs on the node and move it away, or raise the engine's CPU quota (a cgroup limit throttles "
        "while the host looks idle). More cores gave 1.4 to 5.4 times lower TTFT on starved multi-GPU hosts.",
    ),
    advising(
        "P15.2",
        "Spread the front end over processes",
        "Let several API server processes tokenise and stream (vLLM: --api-server-count), and stream less often "
        "(vLLM: --stream-interval) where clients allow it.",
    ),
)
