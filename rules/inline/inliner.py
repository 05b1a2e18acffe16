"""Recorded names become the expressions of their rules.

| in a rule | becomes |
| --- | --- |
| `replica:x` | the expressions of all rules that record it, with their labels, `or` between them |
| `replica:x[5m]` | a subquery at the interval at which the rule's group is evaluated |
| `replica:x offset 5m` | the last value of such a subquery, one step long |
| `replica:x{label="a"}` | only the rules whose labels fit; of other labels a join that the server evaluates |
| a series that does not exist | nothing, and so does what cannot be without it: `and`, arithmetic, a function of it |
| a rule that reads itself | nothing, as on the rule's first evaluation: there is no memory |

What was evaluated already may be told (`settle`): its values then stand for it, written down as series, wherever it is
read at the same instant and that is shorter. Prometheus evaluates every operator; what would cost too much is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rules.inline import printed
from rules.inline.leaves import Constant, Leaf, Place
from rules.inline.matchers import Matcher, decide, filtered
from rules.inline.piece import Piece, Refused, Result
from rules.input_series import seconds
from rules.pack import Rule
from rules.syntax import Aggregation, Binary, Call, Node, Number, Series, Text, Timed, parse, walk

DEFAULT_INTERVAL = "15s"
_LONG = 10_000  # characters
_OF_NO_SERIES = frozenset({"absent", "absent_over_time", "scalar"})
_WHEN = frozenset({"timestamp"})  # of a recorded sample; an expression has the time of its evaluation


@dataclass(frozen=True, slots=True)
class Limits:
    """What one expression may cost: its length, and how often it looks series up for one evaluation."""

    characters: int = 60_000
    steps: int = 20_000


class Inliner:
    """Expressions for recorded names, at one place. Keeps what it has worked out.

    `constants`: series whose values are the same whenever they are read.
    """

    def __init__(
        self, rules: Sequence[Rule], place: Place, constants: Mapping[str, Constant], limits: Limits = Limits()
    ) -> None:
        self._recording: dict[str, list[Rule]] = {}
        for rule in rules:
            if not rule.is_alert:
                self._recording.setdefault(rule.name, []).append(rule)
        self._place = place
        self._constants = constants
        self._limits = limits
        self._settled: dict[int, Constant | Refused] = {}
        self._done: dict[tuple[str, tuple[Matcher, ...], bool], Result | Refused] = {}
        self._trees: dict[int, Node] = {}
        self._open: list[int] = []
        self._cut: set[int] = set()  # open rules that were read again: what was worked out since is theirs alone

    def rule(self, rule: Rule) -> Result:
        """What `rule` records now, with its labels; None when that is nothing here. Raises Refused."""
        return self._labelled(rule, now=True)

    def expression(self, text: str) -> Result:
        """What a query that reads recorded names is without them. Raises Refused; ValueError where it is no PromQL."""
        query = Rule(file="", group="", name="the query", is_alert=False, expr=text, labels={}, annotations={})
        piece = self._of(parse(text, whole=True), _Reading(query, now=False))
        return piece and self._affordable(piece, query.name)

    def settle(self, rule: Rule, values: Constant | Refused) -> None:
        """What Prometheus gave for `rule` at the instant of the evaluation, or why nothing can be had of it."""
        self._settled[id(rule)] = values

    def read_by(self, rule: Rule) -> Iterator[Rule]:
        """The rules that record what `rule` reads."""
        for node in walk(self._tree(rule)):
            if isinstance(node, Series) and node.name not in self._constants:
                for found in self._recording.get(node.name, ()):
                    if decide(node.matchers, found.labels) is not None:
                        yield found

    def _labelled(self, rule: Rule, *, now: bool) -> Result:
        if id(rule) in self._open:
            self._cut.add(id(rule))
            return None
        self._open.append(id(rule))
        try:
            piece = self._of(self._tree(rule), _Reading(rule, now))
        finally:
            self._cut.discard(self._open.pop())
        if piece is None:
            return None
        for label, value in rule.labels.items():
            piece = Piece(f'label_replace({piece.text},"{label}","{value}","","")', piece.steps)
        return self._affordable(piece, rule.name)

    def _tree(self, rule: Rule) -> Node:
        if id(rule) not in self._trees:
            self._trees[id(rule)] = parse(rule.expr, whole=True)
        return self._trees[id(rule)]

    def _affordable(self, piece: Piece, name: str) -> Piece:
        if len(piece.text) > self._limits.characters:
            raise Refused(f"{name} would be too long a query")
        if piece.steps > self._limits.steps:
            raise Refused(f"{name} reads back too far for one query")
        return piece

    def _recorded(self, series: Series, *, now: bool) -> Result:
        """A selector of a recorded name."""
        if series.name in self._constants:
            return self._constants[series.name].selected(series)
        key = (series.name, series.matchers, now)
        found = self._done.get(key) if key in self._done else self._tried(series, now=now)
        if not self._cut:
            self._done[key] = found
        if isinstance(found, Refused):
            raise found
        return found

    def _tried(self, series: Series, *, now: bool) -> Result | Refused:
        try:
            return self._union(series, now=now)
        except Refused as refused:
            return refused

    def _union(self, series: Series, *, now: bool) -> Result:
        pieces = []
        for rule in self._recording[series.name]:
            left = decide(series.matchers, rule.labels)
            if left is None:
                continue
            piece = self._shorter(rule, series, left, now=now)
            if piece is not None:
                pieces.append(piece)
        if len(pieces) < 2:  # noqa: PLR2004 - none or one
            return pieces[0] if pieces else None
        joined = Piece(" or ".join(one.operand for one in pieces), sum(one.steps for one in pieces), binds=True)
        return self._affordable(joined, series.name)

    def _shorter(self, rule: Rule, series: Series, left: Sequence[Matcher], *, now: bool) -> Result:
        """What a rule records, as its values where they are known and shorter, else as its expression.

        Of the past, what an engine was started with is taken to have been as it is now, where that is too long to ask.
        """
        values = self._settled.get(id(rule)) if now or _lasts(rule) else None
        if isinstance(values, Refused):
            raise values
        literal = values.selected(series) if values else None
        if values and now and literal is None:
            return None
        try:
            piece = self._labelled(rule, now=now)
        except Refused:
            if not values:
                raise
            return literal
        inlined = None if piece is None else filtered(piece, left)
        if values and not now:
            return literal if inlined and len(inlined.text) > _LONG else inlined
        return literal if literal and (not inlined or len(literal.text) <= len(inlined.text)) else inlined

    def _interval(self, name: str) -> str:
        if name in self._constants:
            return DEFAULT_INTERVAL
        return min((rule.interval or DEFAULT_INTERVAL for rule in self._recording[name]), key=seconds)

    def _known(self, name: str) -> bool:
        return name in self._recording or name in self._constants

    def _of(self, node: Node, reading: "_Reading") -> Result:
        match node:
            case Number() | Text():
                negative = isinstance(node, Number) and node.value < 0
                return Piece(printed.printed_leaf(node), 0, binds=negative, scalar=True)
            case Series():
                return self._series(node, reading)
            case Timed():
                return self._timed(node, reading)
            case Call():
                return self._call(node, reading)
            case Aggregation():
                return self._aggregation(node, reading)
            case Binary():
                return self._binary(node, reading)

    def _series(self, node: Series, reading: "_Reading") -> Result:
        if self._known(node.name):
            return self._recorded(node, now=reading.now)
        leaf = self._place.leaf(node, reading.rule)
        return None if leaf is None else Piece(leaf.relabelled(printed.printed(leaf.series)))

    def _timed(self, node: Timed, reading: "_Reading") -> Result:
        """Of recorded names and of subqueries; of an exporter's series only what is no range."""
        step = node.step
        if not step and isinstance(node.node, Series) and self._known(node.node.name):
            step = self._interval(node.node.name)
        if step:
            return _subquery(node, step, self._of(node.node, reading.of_the_past))
        if not isinstance(node.node, Series) or node.window:
            raise Refused(f"{reading.rule.name} reads a range where none can be relabelled")
        leaf = self._place.leaf(node.node, reading.rule)
        if leaf is None:
            return None
        return Piece(leaf.relabelled(printed.timed(printed.printed(leaf.series), "", "", node.offset)))

    def _call(self, node: Call, reading: "_Reading") -> Result:
        if node.function in _WHEN and any(isinstance(one, Series) and self._known(one.name) for one in node.arguments):
            raise Refused(f"{reading.rule.name} asks when a sample was recorded")
        pieces: list[Piece] = []
        leaf: Leaf | None = None
        for argument in node.arguments:
            series = _ranged(argument)
            if series is not None and isinstance(argument, Timed) and not self._known(series.name):
                leaf = self._place.leaf(series, reading.rule)
                shown = leaf and printed.timed(printed.printed(leaf.series), argument.window, "", argument.offset)
                piece = Piece(shown) if shown else None
            else:
                piece = self._of(argument, reading)
            if piece is None:
                if node.function in _OF_NO_SERIES:
                    raise Refused(f"{reading.rule.name} asks whether series are absent, and none exists here")
                return None
            pieces.append(piece)
        text = printed.call(node.function, (piece.text for piece in pieces))
        steps = sum(piece.steps for piece in pieces)
        return Piece(leaf.relabelled(text) if leaf else text, steps, scalar=node.function in ("scalar", "time", "pi"))

    def _aggregation(self, node: Aggregation, reading: "_Reading") -> Result:
        pieces = [self._of(argument, reading) for argument in node.arguments]
        known = [piece for piece in pieces if piece is not None]
        if len(known) < len(pieces):
            return None
        return Piece(printed.aggregation(node, (piece.text for piece in known)), sum(piece.steps for piece in known))

    def _binary(self, node: Binary, reading: "_Reading") -> Result:
        left, right = self._of(node.left, reading), self._of(node.right, reading)
        if left is None or right is None:
            if node.operator == "or":
                return left or right
            return left if node.operator == "unless" else None
        text = printed.binary(node, left.operand, right.operand)
        return Piece(text, left.steps + right.steps, binds=True, scalar=left.scalar and right.scalar)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Which rule reads, and whether at the instant of the evaluation or at some other."""

    rule: Rule
    now: bool

    @property
    def of_the_past(self) -> "_Reading":
        return _Reading(self.rule, now=False)


def _ranged(node: Node) -> Series | None:
    """The selector that a range is read of; None where a node is something else."""
    ranged = isinstance(node, Timed) and node.window and not node.step
    return node.node if ranged and isinstance(node, Timed) and isinstance(node.node, Series) else None


def _subquery(node: Timed, step: str, inner: Result) -> Result:
    if inner is None:
        return None
    points = int(seconds(node.window or step) // seconds(step)) + 1
    text = printed.timed(inner.operand, node.window or step, step, node.offset)
    return Piece(text if node.window else f"last_over_time({text})", max(inner.steps, 1) * points)


def _lasts(rule: Rule) -> bool:
    """Whether it is what an engine was started with, which is taken to have been so as far back as a window reads."""
    return rule.group.endswith("config_1m") or rule.name.startswith("service:slo_bound")
