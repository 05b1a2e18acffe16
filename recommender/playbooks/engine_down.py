"""B20: an engine does not answer, or is stuck. Nothing here changes a knob: a person must look first."""

from recommender.playbooks.base import advising

TARGET_DOWN = (
    advising(
        "B20.1",
        "Bring the engine back",
        "Look at the engine's own log and at its process. Out of memory at start: lower its share of device memory. "
        "Reachable from elsewhere: check the URL in the inventory and the exporter's allowed targets. Other "
        "bottlenecks of this service are judged again once its engines answer.",
    ),
)

ENGINE_FROZEN = (
    advising(
        "B20.2",
        "Restart the stuck engine",
        "Take the replica out of the load balancer, keep its log and a stack dump (py-spy dump --pid, or SIGABRT with "
        "faulthandler), then restart it. Requests that it holds are lost either way.",
    ),
)
