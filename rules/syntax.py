"""PromQL as a tree, as far as rules need it. What is legal is for `promtool check rules` to judge; this only reads."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Node: TypeAlias = "Number | Text | Series | Call | Aggregation | Binary | Timed"

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
    """A selector. `equal`: label -> value of the matchers with `=`; `pattern`: of `__name__`, where that is matched.

    `matchers`, where the whole was asked for: all of them as written, (label, operator, value), `__name__` included.
    """

    name: str
    equal: tuple[tuple[str, str], ...] = ()
    pattern: str = ""
    matchers: tuple[tuple[str, str, str], ...] = ()


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
    keeps_all: bool = False
    """A comparison with `bool`."""


@dataclass(frozen=True, slots=True)
class Timed:
    """`node` read over a window, or as it was: `node[window:step] offset …`. Without a step it is no subquery.

    The step `:` is the one that Prometheus is configured with.
    """

    node: Node
    window: str = ""
    step: str = ""
    offset: str = ""


def parse(expression: str, *, whole: bool = False) -> Node:
    """The tree of an expression. Raises ValueError with the rest of the text where it cannot be read.

    A window, a subquery and `offset` change when is read, not what: they are left out, as matchers with other operators
    than `=` are, unless the `whole` is asked for. `@` is left out always, for rules do not use it.
    """
    reader = _Reader(_tokens(expression), whole=whole)
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
    elif isinstance(node, Timed):
        yield from walk(node.node)


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


def _quoted(token: str) -> str:
    """What is between the quotes of a literal, escaped for double ones."""
    if token[0] == '"':
        return token[1:-1]
    inner = token[1:-1].replace("\\", "\\\\") if token[0] == "`" else token[1:-1].replace("\\'", "'")
    return inner.replace('"', '\\"').replace("\n", "\\n")


class _Reader:
    """Reads tokens from left to right: operators by precedence, the rest by recursive descent."""

    def __init__(self, tokens: Sequence[str], *, whole: bool) -> None:
        self._tokens = tokens
        self._whole = whole
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
            keeps_all = bool(self._took("bool"))
            matching = self._took("on", "ignoring")
            labels = self._labels() if matching else frozenset()
            group = self._took("group_left", "group_right")
            included = self._labels() if group and self.peek() == "(" else frozenset()
            right = self.expression(rank if operator == "^" else rank + 1)
            left = Binary(operator, left, right, matching, labels, group, included, keeps_all)
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
        read_at = self._time(node)
        return read_at if self._whole else node

    def _atom(self, token: str) -> Node:
        if token[0] in "\"'`":
            return Text(_quoted(token))
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
        equal, pattern, matchers = [], "", []
        if self._took("{"):
            while not self._took("}"):
                label, operator, value = self._take(), self._take(), self._take()
                matchers.append((label, operator, _quoted(value)))
                if label == "__name__":
                    pattern = value[1:-1]
                elif operator == "=":
                    equal.append((label, value[1:-1]))
                self._took(",")
        return Series(name, tuple(equal), pattern, tuple(matchers) if self._whole else ())

    def _time(self, node: Node) -> Node:
        """What follows a node of windows, subqueries, `offset` and `@`, around it."""
        while mark := self._took("[", "offset", "@"):
            if mark == "[":
                node = self._window(node)
            elif mark == "offset":
                sign = self._took("-")
                told = Timed(node) if not isinstance(node, Timed) else node
                node = Timed(told.node, told.window, told.step, sign + self._take())
            else:
                self._took("-")
                if self._take() in ("start", "end"):
                    self._take("(")
                    self._take(")")
        return node

    def _window(self, node: Node) -> Timed:
        parts: list[str] = []
        while (token := self._take()) != "]":
            parts.append(token)
        window, _, step = "".join(parts).partition(":")
        return Timed(node, window, step or ":" * (":" in parts))

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
