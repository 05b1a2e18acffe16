"""Rules without a Prometheus that runs them: how recorded names become expressions.

That the result is what the rules record is for `tests/recommender/oneshot` to show, with a real Prometheus.
"""

from collections.abc import Mapping

import pytest

from rules.inline.inliner import Inliner, Limits
from rules.inline.leaves import Constant, Leaf
from rules.inline.matchers import decide, filtered, matches
from rules.inline.piece import Piece, Refused
from rules.inline.printed import printed
from rules.pack import Rule, load_rules
from rules.syntax import Series, parse


class Everything:
    """A place where every series exists but those that begin with `no_`; some lack the label `service`."""

    def leaf(self, series: Series, rule: Rule) -> Leaf | None:  # noqa: ARG002 - the protocol's
        if series.name.startswith("no_"):
            return None
        return Leaf(series, (("service", "chat", "", ""),) if series.name.startswith("bare_") else ())


def rule(name: str, expr: str, interval: str = "", labels: Mapping[str, str] | None = None) -> Rule:
    return Rule(
        "any.yml", "any", name, is_alert=False, expr=expr, labels=labels or {}, annotations={}, interval=interval
    )


def inlined(expr: str, *others: Rule, limits: Limits = Limits()) -> str | None:  # noqa: B008 - frozen
    asked = rule("the:question", expr)
    constants = {"threshold:high": Constant((({}, 0.9),)), "threshold:none": Constant(())}
    piece = Inliner([asked, *others], Everything(), constants, limits).rule(asked)
    return None if piece is None else piece.text


X = rule("replica:x", "sum by (instance) (x)")
TWO = (rule("replica:y", "a", labels={"engine": "vllm"}), rule("replica:y", "b", "30s", {"engine": "tgi"}))


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        ("replica:x", "sum by (instance) (x)"),
        ("replica:x > 3 and y", "(sum by (instance) (x) > 3) and y"),
        ("avg_over_time(replica:x[5m])", "avg_over_time(sum by (instance) (x)[5m:15s])"),
        ("replica:x offset 10m", "last_over_time(sum by (instance) (x)[15s:15s] offset 10m)"),
        ("max_over_time(replica:x[1h] offset 5m)", "max_over_time(sum by (instance) (x)[1h:15s] offset 5m)"),
        ("rate(x[5m])", "rate(x[5m])"),
        ("rate(bare_x[5m])", 'label_replace(rate(bare_x[5m]),"service","chat","","")'),
        ("bare_x offset 5m", 'label_replace(bare_x offset 5m,"service","chat","","")'),
        ("x > threshold:high", "x > vector(0.9)"),
        ('x > threshold:high{service=""}', "x > vector(0.9)"),
        ('replica:y{engine="tgi"}', 'label_replace(b,"engine","tgi","","")'),
        ('replica:y{engine!~"t.*"}', 'label_replace(a,"engine","vllm","","")'),
        ("replica:y", 'label_replace(a,"engine","vllm","","") or label_replace(b,"engine","tgi","","")'),
        (
            'replica:x{instance="i"}',
            'sum by (instance) (x) and on (instance) label_replace(vector(0),"instance","i","","")',
        ),
        ('replica:x{instance!=""}', "sum by (instance) (x) unless on (instance) vector(0)"),
        ("x or no_x", "x"),
        ("no_x or replica:x", "sum by (instance) (x)"),
        ("x unless no_x", "x"),
        ("quantile by (a) (0.5, x)", "quantile by (a) (0.5,x)"),
        ("x >= bool on (a) group_left (b) y", "x >= bool on (a) group_left (b) y"),
        ("-x ^ 2", "-1 * (x ^ 2)"),
        ("max_over_time((x > 0)[1h:1m])", "max_over_time((x > 0)[1h:1m])"),
    ],
)
def test_a_recorded_name_becomes_what_its_rules_read(expr: str, wanted: str) -> None:
    found = inlined(expr, X, *TWO)
    assert found is not None
    assert parse(found, whole=True) == parse(wanted, whole=True), found


@pytest.mark.parametrize(
    "expr", ["no_x", "no_x and x", "x and no_x", "x / no_x", "sum(no_x)", "rate(no_x[5m])", "x > threshold:none"]
)
def test_what_cannot_be_without_a_series_that_is_not_there_is_nothing(expr: str) -> None:
    assert inlined(expr, X) is None


def test_a_threshold_of_a_service_is_chosen_by_its_label() -> None:
    constant = Constant((({"service": "a"}, 1.0), ({"service": "b\\"}, 2.0)))
    chosen = constant.selected(Series("t", (), "", (("service", "=~", "b.*"),)))
    assert chosen == Piece('label_replace(vector(2),"service","b\\\\","","")', 0)


def test_a_rule_that_reads_itself_has_no_memory_and_spoils_nothing_for_others() -> None:
    memory = rule("replica:m", "x or last_over_time(replica:m[5m])")
    reader = rule("replica:r", "replica:m and replica:s")
    sum_ = rule("replica:s", "sum by (a) (replica:m)")
    assert inlined("replica:r or replica:s", memory, reader, sum_) == "(x and sum by (a) (x)) or sum by (a) (x)"


@pytest.mark.parametrize(
    ("expr", "limits", "why"),
    [
        ("max_over_time(replica:x[30d])", Limits(), "reads back too far"),
        ("replica:x + replica:x", Limits(characters=30), "too long"),
        ("timestamp(replica:x)", Limits(), "when a sample was recorded"),
        ("absent(no_x)", Limits(), "absent"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(expr: str, limits: Limits, why: str) -> None:
    with pytest.raises(Refused, match=why):
        inlined(expr, X, limits=limits)


def test_what_was_evaluated_stands_for_itself_at_the_same_instant_alone() -> None:
    long = rule("replica:long", " + ".join(f"metric_{number}" for number in range(40)))
    asked = rule("the:question", "replica:long and avg_over_time(replica:long[30s])")
    inliner = Inliner([asked, long], Everything(), {})
    inliner.settle(long, Constant((({"instance": 'i"1'}, 5.5),)))
    piece = inliner.rule(asked)
    assert piece is not None
    assert piece.text.startswith('label_replace(vector(5.5),"instance","i\\"1","","") and avg_over_time((')
    assert piece.text.count("metric_39") == 1
    inliner = Inliner([asked, long], Everything(), {})
    inliner.settle(long, Refused("Prometheus: too much"))
    with pytest.raises(Refused, match="too much"):
        inliner.rule(asked)


def test_matchers_are_judged_as_prometheus_does() -> None:
    assert matches("vllm", "=~", "vl.*|tgi")
    assert not matches("vllm", "=~", "vl")
    assert matches("a.b", "=~", "a\\\\.b")
    assert matches("", "!~", ".+")
    assert decide((("a", "=", "1"), ("b", "=", "2")), {"a": "1"}) == (("b", "=", "2"),)
    assert decide((("a", "!=", "1"),), {"a": "1"}) is None


def test_a_pattern_marks_and_unmarks() -> None:
    text = filtered(Piece("x"), [("le", "=~", "1|2")]).text
    assert text == (
        'label_replace(label_replace(x,"matched","yes","le","1|2") and on (matched) '
        'label_replace(vector(0),"matched","yes","",""),"matched","","","")'
    )


def test_every_shipped_rule_is_read_and_written_down_without_loss() -> None:
    for one in load_rules():
        if not one.is_alert:
            tree = parse(one.expr, whole=True)
            assert parse(printed(tree), whole=True) == tree, one.place
