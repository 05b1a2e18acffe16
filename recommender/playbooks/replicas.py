"""P11: replicas of one service that do not share the load evenly, or of which one is slower."""

from recommender.playbooks.base import advising

IMBALANCE = (
    advising(
        "P11.1",
        "Send requests to the replica with the least of them",
        "Change the load balancer from round robin to least outstanding requests, or to scores of queue and KV cache. "
        "Look for clients that keep one connection open (HTTP/2, gRPC), all of whose requests go to one replica.",
    ),
    advising(
        "P11.2",
        "Bound affinity by load",
        "Where sessions or prefixes are kept on a replica on purpose, let requests go elsewhere once 5 of them wait "
        "there or its KV cache is 80 % full.",
    ),
)

STRAGGLER = (
    advising(
        "P11.3",
        "Drain and restart the slow replica",
        "Take it out of the load balancer, let its requests end, restart it and compare again after ten minutes.",
    ),
    advising(
        "P11.4",
        "Compare its machine with its siblings'",
        "SM clock and temperature, PCIe generation and lanes, Xid and ECC events, NUMA placement, other processes on "
        "the node, and the GPU's type. When it is slow again within a day, keep it out until the reason is found.",
    ),
)
