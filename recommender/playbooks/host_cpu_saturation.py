"""P15: host CPUs, or a single thread, hold the engine back."""

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

ENGINE_THREAD = (
    advising(
        "P15.3",
        "Take work off the hot thread",
        "See which thread it is (top -H -p PID, py-spy dump). A front end: several API server processes (vLLM: "
        "--api-server-count) and fewer, larger stream events (--stream-interval). A scheduler: a newer engine with "
        "asynchronous scheduling, fewer log lines, no log probabilities where nobody reads them. More CPUs do "
        "not help.",
    ),
    advising(
        "P15.4",
        "Give the thread a faster core, or less to do",
        "Set the performance governor and pin the engine to the CPUs next to its GPU. If it stays hot, run more "
        "replicas with fewer requests each.",
    ),
)
