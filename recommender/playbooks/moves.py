"""One knob to a new value: a change where that can be carried out, else advice with the same figures.

A change needs a catalogue that has the knob for this engine and version, and the value that runs now. Where one of
them is missing a person can still turn the knob, so the playbook says which, to what, and why OptiInfra does not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from recommender.figures import figure
from recommender.gpus import Gpu
from recommender.knobs import Knob
from recommender.model import Ask, Change, Evidence, Feasibility, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext
from recommender.playbooks.handles import engine_of, handle
from recommender.playbooks.scope import ChangeScope, affected, change_scope
from recommender.sizing import NotApplicable, Sized


@dataclass(frozen=True, slots=True)
class Move:
    """The new value of a knob, the formula that gave it, and the proof that it fits where memory is at stake."""

    value: KnobValue
    formula: str
    inputs: dict[str, float] = field(default_factory=dict)
    feasibility: Feasibility | None = None


Sizer = Callable[[KnobValue | None, tuple[str, ...]], Move | NotApplicable]  # from the old value and the replicas


def of_sized(sized: Sized | NotApplicable, feasibility: Feasibility | None = None) -> Move | NotApplicable:
    """A sized number as a move."""
    if isinstance(sized, NotApplicable):
        return sized
    return Move(sized.value, sized.formula, dict(sized.inputs), feasibility)


def move(
    name: str,
    evidence: Evidence,
    finding: Finding,
    context: PlanContext,
    *,
    size: Sizer,
    reason: str,
) -> Change | Advice | NotApplicable:
    """Knob `name` to what `size` gives. `reason` is a sentence that says what was seen."""
    scope = change_scope(name, evidence, finding, context)
    if isinstance(scope, ChangeScope):
        moved = size(scope.old, scope.instances)
        return moved if isinstance(moved, NotApplicable) else _change(scope, moved, context, reason)
    if isinstance(scope, NotApplicable) and context.knob(name) is not None:
        return scope
    moved = size(None, affected(evidence, finding) or ("",))
    if isinstance(moved, NotApplicable):
        return moved
    why = _Unsure(f"{scope.reason}.") if isinstance(scope, NotApplicable) else _Unsure(scope.text, scope.asks)
    return _advice(name, moved, context, reason, why)


@dataclass(frozen=True, slots=True)
class _Unsure:
    """Why OptiInfra leaves it to a person, and the facts that would change that."""

    text: str
    asks: tuple[Ask, ...] = ()


def _change(scope: ChangeScope, moved: Move, context: PlanContext, reason: str) -> Change | Advice | NotApplicable:
    """The change, unless something known speaks against it; advice where something needed is unknown."""
    if against := _against(scope, moved, context):
        return NotApplicable(against)
    if unsure := _unsure(scope.knob, moved, context):
        return _advice(scope.knob.name, moved, context, reason, unsure)
    change = scope.change_to(moved.value, formula=moved.formula, inputs=moved.inputs, reason=reason)
    return change if moved.feasibility is None else change.model_copy(update={"feasibility": moved.feasibility})


def _against(scope: ChangeScope, moved: Move, context: PlanContext) -> str:
    knob, gpu = scope.knob, context.facts.gpu
    if moved.feasibility is not None and moved.feasibility.fits is False:
        return f"it would not fit: {moved.feasibility.text}"
    if moved.value == scope.old:
        return f"{knob.label} is {shown(scope.old)} already"
    for instance in scope.instances:
        if conflicts := context.conflicts(knob.name, moved.value, instance):
            return f"{knob.label} of {instance} cannot be {shown(moved.value)}: {'; '.join(conflicts)}"
    if gpu is not None and knob.parse(moved.value) is not None and _allowed(knob, moved.value, gpu) is False:
        return f"{gpu.name} (compute capability {gpu.compute_capability:g}) does not run {shown(moved.value)}"
    return ""


def _unsure(knob: Knob, moved: Move, context: PlanContext) -> _Unsure | None:
    proof = moved.feasibility
    if knob.parse(moved.value) is None:
        return _Unsure(f"{shown(moved.value)} is not known to be legal for {knob.label}.")
    if knob.needs_checkpoint(moved.value):
        return _Unsure("The weights must have been made for it: a setting alone does not give it.")
    if _allowed(knob, moved.value, context.facts.gpu) is None:
        return _Unsure("Whether the GPU can do that is unknown.", context.asks("gpu"))
    if proof is not None and proof.fits is None:
        return _Unsure("That it fits cannot be shown, so OptiInfra does not do it.", context.asks(*proof.missing))
    return None


def _allowed(knob: Knob, value: KnobValue, gpu: Gpu | None) -> bool | None:
    return knob.allowed_on(value, compute_capability=None if gpu is None else gpu.compute_capability)


def _advice(name: str, moved: Move, context: PlanContext, reason: str, unsure: _Unsure) -> Advice | NotApplicable:
    proof = moved.feasibility
    if proof is not None and proof.fits is False:
        return NotApplicable(f"it would not fit: {proof.text}")
    turned = handle(name, context)
    if turned is None:
        return NotApplicable(f"{engine_of(context) or 'this engine'} has no setting for {name}")
    fits = "" if proof is None else f" {proof.text[:1].upper()}{proof.text[1:].rstrip('.')}."
    text = f"{reason} Set {turned} to {shown(moved.value)}: {moved.formula}.{fits} {unsure.text}"
    return Advice(text, unsure.asks)


def shown(value: KnobValue) -> str:
    """A value as text: words as they are, numbers as figures."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return figure(value) if isinstance(value, int | float) else value
