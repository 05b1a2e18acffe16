"""Which labels an expression's series have, as far as that is known before anything runs.

Recorded series are known: their rules say what they record. Series of exporters are not, for scrape configuration adds
labels; whatever is calculated from them is unknown too, until an aggregation says which labels remain.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rules.pack import Rule
from rules.syntax import SET_OPERATORS, Aggregation, Binary, Call, Node, Number, Series, Text, Timed, parse

_KEEP_ALL = frozenset({"topk", "bottomk"})
_NO_LABELS = frozenset({"vector", "time", "scalar", "pi", "absent", "absent_over_time"})


@dataclass(frozen=True, slots=True)
class Labels:
    """Label names of a vector. Those in `fixed` have one value, which a matcher chose: they tell no series apart."""

    names: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()

    @property
    def telling(self) -> frozenset[str]:
        """The labels that tell series apart."""
        return self.names - self.fixed

    def kept(self, names: Iterable[str]) -> "Labels":
        """Only these labels."""
        return Labels(self.names & frozenset(names), self.fixed & frozenset(names))

    def joined(self, other: "Labels") -> "Labels":
        """What series of either may have."""
        return Labels(self.names | other.names, self.fixed & other.fixed)


class LabelSets:
    """Answers for the recorded series of a pack. Every question is about an expression's tree; None: not known."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._recorded: dict[str, list[tuple[Mapping[str, str], Labels | None]]] = {}
        trees = [(rule, parse(rule.expr)) for rule in rules if not rule.is_alert]
        # A record may read records of other files: once for every step of the longest way suffices, and more is idle.
        while True:
            before, self._recorded = self._recorded, {}
            for rule, tree in trees:
                found = _of(tree, before)
                own = (
                    None
                    if found is None
                    else Labels(found.names | rule.labels.keys(), found.fixed - rule.labels.keys())
                )
                self._recorded.setdefault(rule.name, []).append((rule.labels, own))
            if self._recorded == before:
                return

    def of(self, node: Node) -> Labels | None:
        """The labels of the series that an expression gives."""
        return _of(node, self._recorded)

    def problems(self, node: Node) -> Iterator[str]:
        """Binary operators below `node` of which the two sides cannot match, in words."""
        if isinstance(node, Call | Aggregation):
            for argument in node.arguments:
                yield from self.problems(argument)
        elif isinstance(node, Binary):
            yield from self.problems(node.left)
            yield from self.problems(node.right)
            left, right = self.of(node.left), self.of(node.right)
            if left is not None and right is not None and not _scalar(node.left) and not _scalar(node.right):
                yield from _mismatch(node, left, right)


_Recorded = Mapping[str, Sequence[tuple[Mapping[str, str], Labels | None]]]


def _of(node: Node, recorded: _Recorded) -> Labels | None:
    match node:
        case Number() | Text():
            return Labels()
        case Series():
            return _of_series(node, recorded)
        case Aggregation():
            return _of_aggregation(node, recorded)
        case Call():
            return _of_call(node, recorded)
        case Binary():
            return _of_binary(node, recorded)
        case Timed():
            return _of(node.node, recorded)


def _of_series(series: Series, recorded: _Recorded) -> Labels | None:
    wanted = dict(series.equal)
    found: Labels | None = None
    for static, labels in recorded.get(series.name, ()):
        if any(wanted.get(label, value) != value for label, value in static.items()):
            continue
        if labels is None:
            return None
        found = labels if found is None else found.joined(labels)
    if found is None:
        return None
    chosen = frozenset(label for label, value in wanted.items() if value)
    absent = frozenset(label for label, value in wanted.items() if not value)
    return Labels(found.names - absent, (found.fixed | chosen) & found.names)


def _of_aggregation(node: Aggregation, recorded: _Recorded) -> Labels | None:
    inner = _of(node.arguments[-1], recorded)
    if node.operator in _KEEP_ALL:
        return inner
    if node.without:
        return inner and inner.kept(inner.names - node.labels)
    return Labels(node.labels) if inner is None else inner.kept(node.labels)


def _of_call(node: Call, recorded: _Recorded) -> Labels | None:
    if node.function in _NO_LABELS or not node.arguments:
        return Labels()
    vectors = [argument for argument in node.arguments if not isinstance(argument, Number | Text)]
    inner = _of(vectors[0], recorded) if vectors else Labels()
    if inner is None:
        return None
    if node.function in ("label_replace", "label_join"):
        target = node.arguments[1]
        # An empty replacement drops the label; a text without a group fixes it.
        replacement = node.arguments[2]
        if not isinstance(target, Text) or not isinstance(replacement, Text):
            return None
        if replacement.value == "" and node.function == "label_replace":
            return inner.kept(inner.names - {target.value})
        return Labels(inner.names | {target.value}, inner.fixed - {target.value})
    return inner.kept(inner.names - {"le"}) if node.function == "histogram_quantile" else inner


def _of_binary(node: Binary, recorded: _Recorded) -> Labels | None:
    left, right = _of(node.left, recorded), _of(node.right, recorded)
    if _scalar(node.left):
        return right
    if _scalar(node.right) or node.operator in ("and", "unless"):
        return left
    if node.operator == "or":
        return None if left is None or right is None else left.joined(right)
    if node.group:
        many = left if node.group == "group_left" else right
        return None if many is None else Labels(many.names | node.included, many.fixed - node.included)
    if node.matching == "on":
        return Labels(node.labels) if left is None else left.kept(node.labels)
    return left and left.kept(left.names - node.labels)


def _scalar(node: Node) -> bool:
    if isinstance(node, Binary):
        return _scalar(node.left) and _scalar(node.right)
    return isinstance(node, Number) or (isinstance(node, Call) and node.function in ("scalar", "time", "pi"))


def _mismatch(node: Binary, left: Labels, right: Labels) -> Iterator[str]:
    if node.operator == "or":
        return  # a second choice may be known at another level
    if node.matching == "on":
        for side, labels in (("left", left), ("right", right)):
            if missing := node.labels - labels.names:
                yield f"`{node.operator} on` asks for {_text(missing)}, which the {side} side has not"
    elif left.names - node.labels != right.names - node.labels:
        sides = f"{_text(left.names - node.labels)} with {_text(right.names - node.labels)}"
        yield f"`{node.operator}` matches {sides}: say `on (…)` or `ignoring (…)`"
        return
    if node.operator not in SET_OPERATORS:
        yield from _many(node, left, right)


def _many(node: Binary, left: Labels, right: Labels) -> Iterator[str]:
    """The side that must have one series for each match, and may have several. `group_left`: the right alone."""
    ones = {"group_left": {"right": right}, "group_right": {"left": left}}.get(
        node.group, {"left": left, "right": right}
    )
    for side, labels in ones.items():
        matched = labels.telling & node.labels if node.matching == "on" else labels.telling - node.labels
        if several := labels.telling - matched:
            yield f"`{node.operator}` may find several series on the {side} side, told apart by {_text(several)}"


def _text(labels: Iterable[str]) -> str:
    return f"({', '.join(sorted(labels))})"
