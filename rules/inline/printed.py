"""A tree of `rules.syntax` as PromQL text again. What binds is bracketed, so no precedence is relied on."""

import math
from collections.abc import Iterable

from rules.syntax import Aggregation, Binary, Call, Node, Number, Series, Text, Timed

_EXACT = 1e15  # whole numbers below it are exact, and are written without an exponent


def printed(node: Node) -> str:
    """The expression on one line; read again, it gives the same tree."""
    match node:
        case Number() | Text() | Series():
            return printed_leaf(node)
        case Call():
            return call(node.function, map(printed, node.arguments))
        case Aggregation():
            return aggregation(node, map(printed, node.arguments))
        case Binary():
            return binary(node, _operand(node.left), _operand(node.right))
        case Timed():
            return timed(_operand(node.node), node.window, node.step, node.offset)


def printed_leaf(node: Number | Text | Series) -> str:
    """A literal or a selector."""
    if isinstance(node, Number):
        return number(node.value)
    if isinstance(node, Text):
        return f'"{node.value}"'
    matchers = ",".join(f'{label}{operator}"{value}"' for label, operator, value in node.matchers)
    return f"{node.name}{{{matchers}}}" if matchers else node.name


def number(value: float) -> str:
    """A literal that is read as the same float."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    value = float(value)  # a whole number is an int to Python
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def call(function: str, arguments: Iterable[str]) -> str:
    """A function of arguments that are text already."""
    return f"{function}({','.join(arguments)})"


def aggregation(node: Aggregation, arguments: Iterable[str]) -> str:
    """The aggregation `node` of arguments that are text already."""
    clause = f" {'without' if node.without else 'by'} ({','.join(sorted(node.labels))}) "
    return f"{node.operator}{clause if node.labels or node.without else ''}({','.join(arguments)})"


def binary(node: Binary, left: str, right: str) -> str:
    """The operator of `node` between operands that are text already, in brackets where they need them."""
    words = [node.operator]
    if node.keeps_all:
        words.append("bool")
    if node.matching:
        words.append(f"{node.matching} ({','.join(sorted(node.labels))})")
    if node.group:
        words.append(f"{node.group} ({','.join(sorted(node.included))})")
    return f"{left} {' '.join(words)} {right}"


def timed(operand: str, window: str, step: str, offset: str) -> str:
    """An operand that is text already, read over a window, or as it was."""
    shown = "" if not step else step if step == ":" else f":{step}"
    text = f"{operand}[{window}{shown}]" if window else operand
    return f"{text} offset {offset}" if offset else text


def _operand(node: Node) -> str:
    binds = isinstance(node, Binary) or (isinstance(node, Number) and node.value < 0)
    return f"({printed(node)})" if binds else printed(node)
