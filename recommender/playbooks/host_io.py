"""P17 and P18: disks, file systems and networks of nodes."""

from recommender.figures import figure, sentence, share_of
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.seen import ask, nodes_of, value
from recommender.sizing import NotApplicable
from recommender.sizing.memory import kv_bytes_per_token


def _unload_disk(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    waits = value(evidence, finding, "node:host_disk_await_seconds")
    slow = "is busy" if waits is None else f"takes {figure(waits, 'seconds')} for a request"
    stalled = share_of(value(evidence, finding, "node:host_io_pressure_full:ratio_rate2m"))
    where = ", ".join(nodes_of(finding, evidence, context)) or "the node"
    return Advice(
        f"A disk of {where} {slow}, and all work waited for it for {stalled} of the time. Find who "
        "reads and writes (iotop, pidstat -d): a download, a backup, a log. Keep weights and any KV tier on a local "
        "NVMe disk of their own, not on the root disk or the network; one such disk reads 6.5 GB/s."
    )


def _make_room(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    left = sentence(share_of(value(evidence, finding, "node:host_filesystem_available:ratio", min)))
    where = ", ".join(nodes_of(finding, evidence, context)) or "the node"
    return Advice(
        f"{left} of the fullest file system of {where} is available. Look for what grew (df -h, du -x -d 2): model "
        "caches, logs, core dumps, container images. Remove models that no replica uses, rotate logs, then expand the "
        "file system if it is still too small."
    )


def _transfers(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P18: KV bytes a second = prompt tokens a second · KV bytes of a token, which must stay below half of the link."""
    used = value(evidence, finding, "node:host_network_utilization:ratio")
    high = evidence.thresholds.get("network_utilization_high_ratio")
    if used is not None and high is not None and used < high:
        return NotApplicable(f"the busiest link is {figure(used, 'ratio')} in use, so it is not full")
    return Advice(
        f"The busiest link uses {share_of(used)} of its speed. Token streams are tiny, so find what fills it: "
        f"{_kv_traffic(evidence, finding, context)}; pulls of models and images (a cache on the node); backups. "
        "Otherwise spread the replicas over more nodes.",
        () if context.facts.model is not None else (ask(context, "hardware.model", "to say what KV transfer takes"),),
    )


def _kv_traffic(evidence: Evidence, finding: Finding, context: PlanContext) -> str:
    advice = f"use RDMA and jumbo frames, and keep it below {context.tuning.kv_transfer_link_share:.0%} of the link"
    rate, facts = value(evidence, finding, "replica:llm_prompt_tokens:rate5m"), context.facts
    if facts.model is None or facts.kv_dtype is None or rate is None:
        return f"KV transfer between prefill and decode ({advice})"
    per_token = kv_bytes_per_token(facts.model, facts.kv_dtype) * 1.0
    return (
        f"KV transfer between prefill and decode takes {figure(rate)}·{figure(per_token, 'bytes')} = "
        f"{figure(rate * per_token, 'bytes')} a second where all of it is sent ({advice})"
    )


def _repair(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    errors = value(evidence, finding, "node:host_network_errors:ratio")
    high = evidence.thresholds.get("network_errors_high_ratio")
    if errors is None or high is None or errors < high:
        return NotApplicable(f"{share_of(errors)} of the packets has errors: that does not speak of a broken link")
    where = ", ".join(nodes_of(finding, evidence, context)) or "the node"
    return Advice(
        f"{figure(errors, 'ratio')} of the packets of a link of {where} have errors: change the cable or the "
        "transceiver, then the port; check duplex and speed on both ends (ethtool -S DEVICE)."
    )


DISK_SATURATION = (
    Playbook("P17.1", "Take the load off the disk", _unload_disk),
    advising(
        "P17.2",
        "Stream weights instead of reading them",
        "If replicas that start are what loads the disk, start them one at a time or use a streaming loader (vLLM: "
        "--load-format runai_streamer): 15 GB took 48 s with the default loader, 14 s streamed from a disk and 5 s "
        "from object storage.",
    ),
)

FILESYSTEM_FULL = (Playbook("P17.3", "Make room or expand the file system", _make_room),)

NETWORK_SATURATION = (
    Playbook("P18.1", "Give the transfers room", _transfers),
    Playbook("P18.2", "Repair a link with errors", _repair),
)
