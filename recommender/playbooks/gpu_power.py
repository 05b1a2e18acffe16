"""P12 and P13: GPUs that heat or a power limit holds back. Figures and commands; people carry them out."""

import math

from recommender.figures import counted, figure, share_of
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.seen import ask, value, worst
from recommender.sizing import NotApplicable

_TEMPERATURE = "gpu:gpu_temperature_celsius"
_SLOWDOWN = "gpu:gpu_temperature_slowdown_celsius"
_POWER = "gpu:gpu_power_watts"
_LIMIT = "gpu:gpu_power_limit_watts"
_DEFAULT = "gpu:gpu_power_default_limit_watts"


def _take_load_off(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    """P12 no. 1: half of the traffic away; all of it from a GPU that is thrown to half of its clock or less."""
    slowed = value(evidence, finding, "gpu:gpu_hw_slowdown:ratio_avg5m")
    limit = evidence.thresholds.get("gpu_hw_slowdown_high_ratio")
    if slowed is not None and limit is not None and slowed >= limit:
        return Advice(
            f"Drain the replicas on this node: a GPU was in hardware slowdown for {figure(slowed, 'ratio')} of the "
            "last 5 minutes, which gives half of its speed or less."
        )
    held = share_of(value(evidence, finding, "gpu:gpu_throttled_thermal:ratio_rate5m"))
    return Advice(
        f"Halve the weight of the replicas on this node in the load balancer until clocks recover: heat held them down "
        f"for {held} of the last 5 minutes. Should a GPU fall into hardware slowdown, drain it."
    )


def _cool(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    """P12 no. 2 and 4: whose heat it is."""
    hottest = worst(evidence, finding, _TEMPERATURE)
    limit = value(evidence, finding, _SLOWDOWN)
    at = "of unknown temperature" if hottest is None else f"at {hottest.value:.0f} °C"
    room = "" if hottest is None or limit is None else f", {limit - hottest.value:.0f} °C below its slow-down"
    query = _TEMPERATURE if hottest is None else hottest.query
    return Advice(
        f"The hottest GPU of the node is {at}{room}. Compare it with its neighbours at equal power ({query}; "
        "nvidia-smi -q -d TEMPERATURE,POWER): all hot means inlet air or the room, one hot means its fan, its airflow "
        "or its seat. Blocked filters and missing blanking plates come first; one GPU that stays hot alone is for the "
        "maker."
    )


def _lower_for_heat(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """P12 no. 3: P' = P·(T_slowdown - 5 - T_inlet)/(T - T_inlet), in steps of 10 % of what limits it.

    A GPU that heat holds back draws less than its limit: a limit above what it draws would change nothing.
    """
    tuning = context.tuning
    power, hot = value(evidence, finding, _POWER), value(evidence, finding, _TEMPERATURE)
    slowdown, limit = value(evidence, finding, _SLOWDOWN), value(evidence, finding, _LIMIT)
    acts = limit if power is None or limit is None else min(limit, power)
    floor = None if acts is None else (1 - tuning.power_step) * acts
    step = f"by {figure(tuning.power_step, 'ratio')}" if floor is None else f"from {limit:.0f} to {floor:.0f} W"
    inlet, margin = tuning.inlet_celsius, tuning.thermal_margin_celsius
    if inlet is None or power is None or hot is None or slowdown is None:
        why = "air at the inlet" if inlet is None else "temperature, power or the temperature of slow-down"
        asks = (ask(context, "tuning.inlet_celsius", "to say which power the cooling carries"),)
        return Advice(
            f"Lower the power limit {step} (nvidia-smi -i GPU -pl WATTS) and look again; without {why} it cannot be "
            f"said how far. {_AFTERWARDS}",
            asks if inlet is None else (),
        )
    if hot <= inlet:
        return Advice(
            f"Lower the power limit {step} (nvidia-smi -i GPU -pl WATTS): {hot:.0f} °C are not above the inlet's "
            f"{inlet:g} °C that the inventory says, so correct tuning.inlet_celsius. {_AFTERWARDS}"
        )
    steady = power * (slowdown - margin - inlet) / (hot - inlet)
    formula = f"{power:.0f}·({slowdown:g} - {margin:g} - {inlet:g})/({hot:g} - {inlet:g}) = {steady:.0f} W"
    if steady >= power:
        return Advice(
            f"By {formula} its core could take more than it draws: look at the memory's temperature and at the share "
            f"of hardware slowdown. To be safe lower the power limit {step} (nvidia-smi -i GPU -pl WATTS). "
            f"{_AFTERWARDS}"
        )
    first = math.floor(steady if floor is None else max(steady, floor))
    return Advice(
        f"Lower the power limit to {first} W first (nvidia-smi -i GPU -pl {first}); what the cooling carries is "
        f"{formula}, reached in steps of {figure(tuning.power_step, 'ratio')}. {_AFTERWARDS}"
    )


_AFTERWARDS = "A steady lower clock serves better than one that is thrown down. Raise it again when the inlet recovers."


def _raise_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P13: towards the default in steps of 10 %, where somebody lowered it."""
    limit, default = value(evidence, finding, _LIMIT, min), value(evidence, finding, _DEFAULT)
    if limit is None or default is None:
        return NotApplicable("the power limit, or what the device starts with, is unknown")
    low = evidence.thresholds.get("gpu_power_limit_low_ratio")
    if low is None or limit >= low * default:
        return NotApplicable(f"the power limit of {limit:.0f} W is what the device starts with ({default:.0f} W)")
    new = math.floor(min(default, (1 + context.tuning.power_step) * limit))
    return Advice(
        f"If nobody needs the limit of {limit:.0f} W, raise it to {new} W while the rack's power budget holds "
        f"(nvidia-smi -i GPU -pl {new}), and further in steps of {figure(context.tuning.power_step, 'ratio')} to the "
        f"default of {default:.0f} W. Prefill gains most; decode waits for memory, whose clock the limit spares."
    )


def _keep_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """P13 for efficiency: what a token takes now, and the sweep that finds the best limit."""
    watts = value(evidence, finding, "gpu:gpu_energy_joules:rate5m") or value(evidence, finding, _POWER)
    tokens = value(evidence, finding, "replica:llm_generation_tokens:rate5m", min)
    gpus = context.facts.gpus_per_replica
    default = value(evidence, finding, _DEFAULT) or value(evidence, finding, _LIMIT)
    now = "what a token takes is unknown"
    if watts is not None and tokens and gpus is not None:
        made = f"{watts:.0f} W on each of {counted(gpus, 'GPU')}, {counted(round(tokens), 'token')} a second"
        now = f"a generated token takes {watts * gpus / tokens:.3g} J now ({made})"
    points = (
        "" if default is None else f" ({', '.join(f'{share * default:.0f}' for share in (1, 0.9, 0.8, 0.7, 0.6))} W)"
    )
    return Advice(
        f"If it is there for efficiency: {now}. Try limits from 100 to 60 % of the default{points} on one replica and "
        "keep the one with the most tokens per joule that keeps the objectives; decode bears it better than prefill."
    )


def _brake(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    share = share_of(value(evidence, finding, "gpu:gpu_power_brake:ratio_avg5m"))
    return Advice(
        f"The power brake was on for {share} of the last 5 minutes, from outside the GPU. Drain the node, and the "
        "rack if others in it show the same, then have its power supplies, cables and the rack's power limit looked "
        "at. No setting of an engine or a GPU helps."
    )


THERMAL_THROTTLE = (
    Playbook("P12.1", "Take load off the hot GPU", _take_load_off),
    Playbook("P12.3", "Lower its power limit", _lower_for_heat),
    Playbook("P12.2", "Cool it", _cool),
)

POWER_LIMIT = (
    Playbook("P13.1", "Raise the power limit", _raise_limit),
    Playbook("P13.2", "Keep the limit and plan with it", _keep_limit),
)

POWER_BRAKE = (Playbook("P13.3", "Treat it as an incident of the facility", _brake),)
