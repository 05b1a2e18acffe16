"""P12-P14: GPUs that run below their speed or are broken. All of it is done outside engines, by people."""

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
