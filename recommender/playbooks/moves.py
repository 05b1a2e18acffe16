"""One knob to a new value: a change where that can be carried out, else advice with the same figures.

A change needs a catalogue that has the knob for this engine and version, and the value that runs now. Where one of
them is missing a person can still turn the knob, so the playbook says which, to what, and why OptiInfra does not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from recommender.figures import figure
from recommender.model import Change, Evidence, Feasibility, Finding, KnobValue
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
    moved = size(None, affected(evidence, finding))
    if isinstance(moved, NotApplicable):
        return moved
    why = f"{scope.reason}." if isinstance(scope, NotApplicable) else scope.text
    return _advice(name, moved, context, reason, why)


def _change(scope: ChangeScope, moved: Move, context: PlanContext, reason: str) -> Change | Advice | NotApplicable:
    if moved.feasibility is not None and moved.feasibility.fits is False:
        return NotApplicable(f"it would not fit: {moved.feasibility.text}")
    if scope.knob.parse(moved.value) is None:
        why = f"{shown(moved.value)} is not known to be legal for {scope.knob.flag}."
        return _advice(scope.knob.name, moved, context, reason, why)
    change = scope.change_to(moved.value, formula=moved.formula, inputs=moved.inputs, reason=reason)
    return change if moved.feasibility is None else change.model_copy(update={"feasibility": moved.feasibility})


def _advice(name: str, moved: Move, context: PlanContext, reason: str, why: str) -> Advice | NotApplicable:
    turned = handle(name, context)
    if turned is None:
        return NotApplicable(f"{engine_of(context) or 'this engine'} has no setting for {name}")
    proof = "" if moved.feasibility is None else f" {moved.feasibility.text}"
    return Advice(f"{reason} Set {turned} to {shown(moved.value)}: {moved.formula}.{proof} {why}")


def shown(value: KnobValue) -> str:
    """A value as text: words as they are, numbers as figures."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return figure(value) if isinstance(value, int | float) else value
