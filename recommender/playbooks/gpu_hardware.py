"""P12-P14 and P19: GPUs that run below their speed, are broken or badly connected. All of it is done by people."""

from recommender.playbooks.base import advising

THERMAL_THROTTLE = (
    advising(
        "P12.1",
        "Take load off the hot GPU",
        "Halve the weight of the replicas on this node in the load balancer until its clocks recover; a GPU in "
        "hardware slowdown gives half its speed or less, so drain it.",
    ),
    advising(
        "P12.2",
        "Cool it",
        "Compare its temperature with its neighbours' at equal power: all hot means inlet air or the room, one hot "
        "means its fan, its airflow or its seat. Blocked filters and missing blanking plates come first.",
    ),
    advising(
        "P12.3",
        "Lower its power limit",
        "Until it is cooled: power falls about in proportion to the rise over inlet air, so limit power to "
        "P * (T_slowdown - 5 - T_inlet) / (T - T_inlet), in steps of 10 % (nvidia-smi -i GPU -pl WATTS). A steady "
        "lower clock serves better than one that is thrown down. Raise it again afterwards.",
    ),
)

POWER_LIMIT = (
    advising(
        "P13.1",
        "Raise the power limit",
        "If nobody needs the limit, raise it towards the default in steps of 10 % while the rack's power budget holds "
        "(nvidia-smi -i GPU -pl WATTS). Prefill gains most; decode waits for memory, whose clock the limit spares.",
    ),
    advising(
        "P13.2",
        "Keep the limit and plan with it",
        "If it is there for efficiency, compare tokens per joule before and after: a limit is worth keeping where "
        "tokens per second fall by less than watts and the service keeps its objectives.",
    ),
)

POWER_BRAKE = (
    advising(
        "P13.3",
        "Treat it as an incident of the facility",
        "Drain the node, and the rack if others in it show the same, then have its power supplies, cables and the "
        "rack's power limit looked at. No setting of an engine or a GPU helps.",
    ),
)

FAULT = (
    advising(
        "P14.1",
        "Drain the GPU and reset it",
        "Cordon the node and move its replicas away; what this GPU computed last is not to be trusted after a memory "
        "error. With nothing left on it reset it (nvidia-smi --gpu-reset -i GPU); one that fell off the bus (Xid 79) "
        "or asks for it (Xid 154) needs a reboot of the node. Never reset a GPU under a running tenant.",
    ),
    advising(
        "P14.2",
        "Test it before it serves again",
        "Run dcgmi diag -r 3. Return it to the maker when the test fails, when a row could not be remapped, or when "
        "the fault comes back within days.",
    ),
)

LINK_DEGRADED = (
    advising(
        "P14.3",
        "Look at the link",
        "At the next drain reseat the board and its riser or cable, and try another slot; compare with its neighbours. "
        "Until then keep tensor parallelism and KV transfer off this GPU where you can.",
    ),
)

REPAIR_PENDING = (
    advising(
        "P14.4",
        "Reset the GPU at the next occasion",
        "Nothing is urgent: recent GPUs take a bad page out of use at once. At the next drain of the node reset the "
        "GPU (nvidia-smi --gpu-reset -i GPU), so that a spare row takes its place. If repairs keep coming, have it "
        "tested.",
    ),
)

INTERCONNECT_SATURATION = (
    advising(
        "P19.1",
        "Send less over the links of the GPUs",
        "Tensor parallelism belongs inside an NVLink domain: on GPUs without one use replicas or pipeline stages "
        "instead. Keep weights in device memory (no --cpu-offload-gb), and let KV offload move blocks that lie "
        "together (vLLM 0.12 and newer). Where NVLink itself is full, fewer GPUs a replica send less: a smaller tensor "
        "parallel size, which quantised weights may make room for, and more replicas.",
    ),
)
