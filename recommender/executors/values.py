"""Settings as configurations hold them: YAML has types, an environment file has only text."""

import json
import math
from collections.abc import Mapping

from recommender.model import KnobValue


def same(current: object, wanted: object) -> bool:
    """Equality of two settings: 8 is 8.0, but true is not 1."""
    return isinstance(current, bool) is isinstance(wanted, bool) and current == wanted


def agrees(current: object, wanted: KnobValue) -> bool:
    """Whether what a file holds means `wanted`, where either may be text: "0.90" is 0.9, "true" is true, "8" is 8."""
    if same(current, wanted):
        return True
    if isinstance(current, str) is isinstance(wanted, str):
        return False
    text, other = (current, wanted) if isinstance(current, str) else (wanted, current)
    if not isinstance(text, str) or not isinstance(other, bool | int | float):
        return False
    if isinstance(other, bool):
        return text.strip().lower() == written(other)
    try:
        return math.isclose(float(text), other, rel_tol=1e-9)
    except ValueError:
        return False


def written(value: KnobValue) -> str:
    """A value as text."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def scalars(values: Mapping[str, object]) -> dict[str, KnobValue]:
    """The settings that a knob can have; lists, mappings and nulls left out."""
    return {key: value for key, value in values.items() if isinstance(value, bool | int | float | str)}
