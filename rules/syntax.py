"""PromQL as a tree, as far as rules need it. What is legal is for `promtool check rules` to judge; this only reads."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Node: TypeAlias = "Number | Text | Series | Call | Aggregation | Binary"

AGGREGATIONS = frozenset(
    {"avg", "bottomk", "count", "count_values", "group", "max", "min", "quantile", "stddev", "stdvar", "sum", "topk"}
)
COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SET_OPERATORS = frozenset({"and", "or", "unless"})
_RANKS = {"or": 1, "and": 2, "unless": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 7}
_RANKS |= dict.fromkeys(COMPARISONS, 3)
_SIGN_RANK = 6
_TOKEN = re.compile(
    r"""\s+ | \#[^\n]*
    | (?P<text> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*`)
    | (?P<time> (?:\d+(?:ms|[smhdwy]))+ \b)
    | (?P<number> 0[xX][0-9a-fA-F]+ | (?:\d+\.?\d* | \.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word> [a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<mark> =~ | !~ | != | == | >= | <= | [-+*/%^<>=(){}\[\],@:])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal, without its quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class Series:
    """A selector. `equal`: label -> value of the matchers with `=`; `pattern`: of `__name__`, where that is matched."""

    name: str
    equal: tuple[tuple[str, str], ...] = ()
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """`operator by (labels) (…)`; `without` says which of the two it is. No clause is `by ()`."""

    operator: str
    arguments: tuple[Node, ...]
    labels: frozenset[str]
    without: bool = False


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`. `matching`: on, ignoring or empty; `group`: group_left, group_right or empty."""

    operator: str
    left: Node
    right: Node
    matching: str = ""
    labels: frozenset[str] = frozenset()
    group: str = ""
    included: frozenset[str] = frozenset()


def parse(expression: str) -> Node:
    """The tree of an expression. Raises ValueError with the rest of the text where it cannot be read."""
    reader = _Reader(_tokens(expression))
    node = reader.expression()
    if reader.peek():
        raise ValueError(f"{expression!r}: cannot read from {reader.peek()!r} on")
    return node


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    if isinstance(node, Binary):
        yield from walk(node.left)
        yield from walk(node.right)
    elif isinstance(node, Call | Aggregation):
        for argument in node.arguments:
            yield from walk(argument)


def _tokens(expression: str) -> list[str]:
    found, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"{expression!r}: cannot read from {expression[at : at + 20]!r} on")
        if match.lastgroup:
            found.append(match.group())
        at = match.end()
    return found


class _Reader:
    """Reads tokens from left to right: operators by precedence, the rest by recursive descent."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise ValueError(f"expected {expected or 'more'}, found {token or 'the end'}: {' '.join(self._tokens)!r}")
        self._at += 1
        return token

    def _took(self, *tokens: str) -> str:
        return self._take() if self.peek() in tokens else ""

    def expression(self, lowest: int = 1) -> Node:
        left = self._operand()
        while (rank := _RANKS.get(self.peek(), 0)) >= lowest:
            operator = self._take()
            self._took("bool")
            matching = self._took("on", "ignoring")
            labels = self._labels() if matching else frozenset()
            group = self._took("group_left", "group_right")
            included = self._labels() if group and self.peek() == "(" else frozenset()
            right = self.expression(rank if operator == "^" else rank + 1)
            left = Binary(operator, left, right, matching, labels, group, included)
        return left

    def _operand(self) -> Node:
        if sign := self._took("-", "+"):
            operand = self.expression(_SIGN_RANK)
            return operand if sign == "+" else Binary("*", Number(-1), operand)
        if self._took("("):
            node = self.expression()
            self._take(")")
        else:
            node = self._atom(self._take())
        self._time()
        return node

    def _atom(self, token: str) -> Node:
        if token[0] in "\"'`":
            return Text(token[1:-1])
        if token[0].isdigit() or token[0] == ".":
            return Number(float(int(token, 16)) if token[:2].lower() == "0x" else float(token))
        if token == "{":  # noqa: S105 - a bracket
            self._at -= 1
            return self._series("")
        if token in AGGREGATIONS and self.peek() in ("by", "without", "("):
            return self._aggregation(token)
        if self.peek() == "(":
            return Call(token, self._arguments())
        return Number(float(token)) if token.lower() in ("inf", "nan") else self._series(token)

    def _aggregation(self, operator: str) -> Aggregation:
        clause = self._took("by", "without")
        labels = self._labels() if clause else frozenset()
        arguments = self._arguments()
        if not clause and (clause := self._took("by", "without")):
            labels = self._labels()
        return Aggregation(operator, arguments, labels, clause == "without")

    def _series(self, name: str) -> Series:
        equal, pattern = [], ""
        if self._took("{"):
            while not self._took("}"):
                label, operator, value = self._take(), self._take(), self._take()
                if label == "__name__":
                    pattern = value[1:-1]
                elif operator == "=":
                    equal.append((label, value[1:-1]))
                self._took(",")
        return Series(name, tuple(equal), pattern)

    def _time(self) -> None:
        """A window, a subquery, `offset` and `@` change when is read, not what."""
        while mark := self._took("[", "offset", "@"):
            if mark == "[":
                while self._take() != "]":
                    pass
            else:
                self._took("-")
                if self._take() in ("start", "end"):
                    self._take("(")
                    self._take(")")

    def _labels(self) -> frozenset[str]:
        self._take("(")
        found = []
        while not self._took(")"):
            found.append(self._take())
            self._took(",")
        return frozenset(found)

    def _arguments(self) -> tuple[Node, ...]:
        self._take("(")
        found = []
        while not self._took(")"):
            found.append(self.expression())
            self._took(",")
        return tuple(found)
