"""P17 and P18: disks, file systems and networks of nodes."""

from recommender.playbooks.base import advising

DISK_SATURATION = (
    advising(
        "P17.1",
        "Take the load off the disk",
        "Find who reads and writes (iotop, pidstat -d): a download, a backup, a log. Keep weights and any KV tier on a "
        "local NVMe disk of their own, not on the root disk or the network.",
    ),
    advising(
        "P17.2",
        "Stream weights instead of reading them",
        "If replicas that start are what loads the disk, start them one at a time or use a streaming loader (vLLM: "
        "--load-format runai_streamer): 15 GB took 48 s with the default loader and 14 s streamed.",
    ),
)

FILESYSTEM_FULL = (
    advising(
        "P17.3",
        "Make room or expand the file system",
        "Look for what grew (du -x, model caches, logs, core dumps, container images). Remove models that no replica "
        "uses, rotate logs, then expand the file system if it is still too small.",
    ),
)

NETWORK_SATURATION = (
    advising(
        "P18.1",
        "Give the transfers room",
        "Token streams are tiny, so find what fills the link: KV transfer between prefill and decode (use RDMA and "
        "jumbo frames; it should stay below half of the link), pulls of models and images (a cache on the node), "
        "backups. Otherwise spread the replicas over more nodes.",
    ),
    advising(
        "P18.2",
        "Repair a link with errors",
        "Change the cable or the transceiver, then the port; check duplex and speed on both ends (ethtool).",
    ),
)
