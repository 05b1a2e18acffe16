"""What a formula gives: a value that a person can check, or the reason why there is none."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Why a formula or a playbook gives no value here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sized:
    """A value, the formula that gave it, and its inputs by name in base units."""

    value: float
    formula: str
    inputs: dict[str, float] = field(default_factory=dict)
