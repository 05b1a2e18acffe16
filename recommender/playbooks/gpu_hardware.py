"""P14 and P19: GPUs that are broken or badly connected. All of it is done by people."""

import re

from recommender.evidence import quote
from recommender.figures import counted, figure
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.handles import handle
from recommender.playbooks.seen import nodes_of, value
from recommender.sizing import NotApplicable

# What each class of Xid asks for (tuning B14, P14; NVIDIA's catalogue and device plugin).
XID_OF_PROGRAMS = (13, 31, 43, 45, 68, 109)
XID_REBOOT = (79, 154)
XID_RESET = (48, 64, 74, 95, 119, 120)
XID_NEXT_DRAIN = (63, 92, 94)


def xid_action(code: int) -> str:
    """What to do about an Xid code; unknown codes count as the GPU's fault, as NVIDIA's device plugin has it."""
    if code in XID_OF_PROGRAMS:
        return "restart the engine once; a second time in a day, or after a roll-out: take the software back"
    if code in XID_REBOOT:
        return "drain the node and reboot it"
    if code in XID_NEXT_DRAIN:
        return "reset the GPU at the next drain"
    return "drain the GPU, reset it, test it"


def _classify(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """P14: what kind of fault it is decides between a reset, a reboot and the maker."""
    said = []
    if value(evidence, finding, "gpu:gpu_up", min) == 0:
        said.append("a GPU is lost or hangs: drain the node and reboot it")
    if value(evidence, finding, "gpu:gpu_row_remap_failure"):
        said.append("a memory row could not be remapped: return the GPU to its maker")
    if errors := value(evidence, finding, "gpu:gpu_ecc_uncorrected_errors:increase1h"):
        said.append(
            f"{counted(errors, 'memory error')} in an hour could not be corrected: drain the GPU, reset it, test it; "
            "what it computed last is not to be trusted"
        )
    if events := value(evidence, finding, "gpu:gpu_xid_faults:increase10m"):
        said.append(f"{counted(events, 'Xid event')} in 10 minutes: {_codes(nodes_of(finding, evidence, context))}")
    told = "; ".join(said) or "which kind of fault it is is unknown: read dmesg and nvidia-smi -q on the node"
    return Advice(f"{told[0].upper()}{told[1:]}.")


def _codes(nodes: tuple[str, ...]) -> str:
    of = "" if not nodes else f"node=~{quote('|'.join(re.escape(node) for node in nodes))}"
    return (
        f"which code says sum by (node, gpu, xid) (increase(gpu_xid_events_total{{{of}}}[10m])) > 0, or dmesg. "
        f"{_listed(XID_REBOOT)}: {xid_action(XID_REBOOT[0])}. {_listed(XID_RESET)} and others: "
        f"{xid_action(XID_RESET[0])}. {_listed(XID_NEXT_DRAIN)}: {xid_action(XID_NEXT_DRAIN[0])}. "
        f"{_listed(XID_OF_PROGRAMS)}: {xid_action(XID_OF_PROGRAMS[0])}"
    )


def _listed(codes: tuple[int, ...]) -> str:
    return ", ".join(str(code) for code in codes)


def _look_at_link(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    lanes = value(evidence, finding, "gpu:gpu_pcie_link_width:ratio", min)
    replays = value(evidence, finding, "gpu:gpu_pcie_replays:rate5m")
    nvlink = value(evidence, finding, "gpu:gpu_nvlink_errors:increase1h")
    said = [
        text
        for shown, text in (
            (
                lanes is not None and lanes < 1,
                f"{figure(lanes, 'ratio')} of its PCIe lanes are in use, and as much of its bandwidth is there",
            ),
            (bool(replays), f"{counted(replays or 0, 'PCIe packet')} a second sent again"),
            (bool(nvlink), f"{counted(nvlink or 0, 'NVLink error')} in an hour"),
        )
        if shown
    ]
    told = "; ".join(said) or "figures of the link are unknown"
    return Advice(
        f"{told[0].upper()}{told[1:]}. At the next drain reseat the board and its riser or cable, and try another "
        "slot; compare with its neighbours (nvidia-smi -q -d PERFORMANCE; nvidia-smi nvlink -e). Until then keep "
        "tensor parallelism and KV transfer off this GPU where you can."
    )


def _unshard(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P19: without NVLink prefer replicas to pipeline stages to tensor parallelism (tuning §2.6)."""
    size, gpu = context.facts.tensor_parallel, context.facts.gpu
    if size == 1:
        return NotApplicable("each replica has one GPU: nothing of tensor parallelism goes over the link")
    if size is None or gpu is None:
        return Advice(
            "If tensor parallelism goes over PCIe, replicas of one GPU each or pipeline stages serve more: over PCIe "
            f"2, 4 and 8 GPUs give 0.83, 0.61 and 0.40 of their sum. Whether it does is unknown: set "
            f"services.{context.service}.hardware.gpu and settings.tensor_parallel_size."
        )
    if gpu.nvlink:
        return Advice(
            f"NVLink of {figure(gpu.link_bytes_per_second / 1e9)} GB/s joins these {size} GPUs. Where it is full, "
            f"fewer GPUs a replica send less: {handle('tensor_parallel_size', context) or 'tensor parallelism'} "
            f"{size // 2}, which quantised weights may make room for, and more replicas."
        )
    return Advice(
        f"{gpu.name} has no NVLink, so tensor parallelism over {size} GPUs goes over PCIe: 2, 4 and 8 GPUs gave 0.83, "
        "0.61 and 0.40 of their sum (0.58, 0.33 and 0.18 with long prompts), pipeline stages 1.04, 0.83 and 0.57. "
        "Use replicas where the model fits on fewer GPUs, else pipeline stages."
    )


FAULT = (
    Playbook("P14.1", "Do what this fault asks for", _classify),
    advising(
        "P14.2",
        "Drain it, reset it and test it before it serves again",
        "Cordon the node and move its replicas away; never reset a GPU under a running tenant. With nothing left on "
        "it: nvidia-smi --gpu-reset -i GPU, then dcgmi diag -r 3. Return it to the maker when the test fails, when a "
        "row could not be remapped, or when the fault comes back within days.",
    ),
)

LINK_DEGRADED = (Playbook("P14.3", "Look at the link", _look_at_link),)

REPAIR_PENDING = (
    advising(
        "P14.4",
        "Reset the GPU at the next occasion",
        "Nothing is urgent: recent GPUs take a bad page out of use at once. At the next drain of the node reset the "
        "GPU (nvidia-smi --gpu-reset -i GPU), so that a spare row takes its place. If repairs keep coming, have it "
        "tested (dcgmi diag -r 3).",
    ),
)

INTERCONNECT_SATURATION = (
    Playbook("P19.1", "Send less over the links of the GPUs", _unshard),
    advising(
        "P19.2",
        "Keep weights and KV off the link",
        "Keep weights in device memory (vLLM: no --cpu-offload-gb; llama.cpp: -ngl all; Ollama: size_vram equal to "
        "size). Let KV offload move blocks that lie together: vLLM 0.12 and newer gave up to 4 times better TTFT and 5 "
        "times the throughput of 0.11. Loading weights at a start also fills the link, for a minute.",
    ),
)
