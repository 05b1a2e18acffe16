"""A tree of `rules.syntax` as PromQL text again. What binds is bracketed, so no precedence is relied on."""

import math

from rules.syntax import Aggregation, Binary, Call, Node, Number, Series, Text, Timed


def printed(node: Node) -> str:
    """The expression on one line; parsed again, it gives the same tree."""
    match node:
        case Number():
            return _number(node.value)
        case Text():
            return f'"{node.value}"'
        case Series():
            return _series(node)
        case Call():
            return f"{node.function}({_arguments(node.arguments)})"
        case Aggregation():
            clause = f" {'without' if node.without else 'by'} ({','.join(sorted(node.labels))}) "
            shown = clause if node.labels or node.without else " "
            return f"{node.operator}{shown}({_arguments(node.arguments)})"
        case Binary():
            return _binary(node)
        case Timed():
            return _timed(node)


def _arguments(nodes: tuple[Node, ...]) -> str:
    return ",".join(printed(node) for node in nodes)


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004 - exact in a float


def _series(node: Series) -> str:
    matchers = ",".join(f'{label}{operator}"{value}"' for label, operator, value in node.matchers)
    return f"{node.name}{{{matchers}}}" if matchers else node.name


def _binary(node: Binary) -> str:
    words = [node.operator]
    if node.keeps_all:
        words.append("bool")
    if node.matching:
        words.append(f"{node.matching} ({','.join(sorted(node.labels))})")
    if node.group:
        words.append(f"{node.group} ({','.join(sorted(node.included))})")
    return f"{_operand(node.left)} {' '.join(words)} {_operand(node.right)}"


def _operand(node: Node) -> str:
    negative = isinstance(node, Number) and node.value < 0
    return f"({printed(node)})" if isinstance(node, Binary) or negative else printed(node)


def _timed(node: Timed) -> str:
    text = f"({printed(node.node)})" if isinstance(node.node, Binary) else printed(node.node)
    if node.window:
        text += f"[{node.window}{':' + node.step if node.step not in ('', ':') else node.step}]"
    return f"{text} offset {node.offset}" if node.offset else text
