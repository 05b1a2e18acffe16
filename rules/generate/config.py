"""The numbers and the texts in the labels of an engine's info series, as canonical gauges and info series."""

from exporters.catalog import PLAIN_TEXT, CatalogueError, EngineCatalogue, NumberFact, Reduce, TextFact, spellings
from rules import promql
from rules.catalog import SOURCE_GAUGES, SOURCE_INFOS
from rules.generate.document import Rule, Rules

TARGET_LABELS = ("service", "instance", "node")


def config_rules(catalogue: EngineCatalogue) -> Rules:
    """Steps: the digits, the info series in one spelling, its texts as numbers, one number a label, canonical gauges.

    Rules of a group run in order, so each step reads the one before it at the same instant.
    """
    if not catalogue.numbers and not catalogue.texts:
        return
    if catalogue.model_source is None:
        raise CatalogueError(f"{catalogue.engine.value}.yml: model_source: facts of an info series need it in rules")
    if catalogue.numbers:
        for digit in range(10):
            labels = {"digit": str(digit), "engine": catalogue.engine.value}
            yield {"record": promql.DIGIT_SERIES, "labels": labels, "expr": f"vector({digit})"}
    for info in sorted({fact.info for facts in (catalogue.numbers, catalogue.texts) for fact in facts.values()}):
        yield from _label_numbers(catalogue, info)
    model = promql.first_of(
        f"group by ({', '.join((*TARGET_LABELS, 'model'))}) ({promql.model_of(name, catalogue.model_label)})"
        for name in spellings(catalogue.model_source)
    )
    for record, family in SOURCE_GAUGES.items():
        if (fact := catalogue.numbers.get(family)) is None:
            continue
        value = promql.aggregate(fact.reduce, TARGET_LABELS, promql.first_of(_products(catalogue, fact)))
        # The info series names no model: the fact belongs to every model of the target.
        expr = f"(\n{promql.indent(model)}\n)\n* on ({', '.join(TARGET_LABELS)}) group_left ()\n{value}"
        yield _recorded(catalogue, record, f"(\n{promql.indent(expr)}\n)")
    for record, family in SOURCE_INFOS.items():
        if (text := catalogue.texts.get(family)) is not None:
            yield _recorded(catalogue, record, _texts(text))


def _recorded(catalogue: EngineCatalogue, record: str, expr: str) -> Rule:
    expr = promql.unless_probed(expr, catalogue.engine)
    return {"record": record, "labels": {"engine": catalogue.engine.value}, "expr": expr}


def _texts(fact: TextFact) -> str:
    """The texts under their canonical labels, spelled as the prober spells them."""
    labels = ", ".join((*TARGET_LABELS, *fact.labels.values()))
    told = f"group by ({labels}) ({_labels_record(fact.info)})"
    for name, own in fact.labels.items():
        told = promql.relabelled(told, name, "$1", own, "(.*)")
        for text, plain in PLAIN_TEXT.items():
            told = promql.relabelled(told, name, plain, name, text)
    return f"group by ({', '.join((*TARGET_LABELS, *fact.labels))}) (\n{promql.indent(told)}\n)"


def _rank_labels(catalogue: EngineCatalogue) -> tuple[str, ...]:
    return (*TARGET_LABELS, *catalogue.ranks)


def _products(catalogue: EngineCatalogue, fact: NumberFact) -> list[str]:
    numbers, ranks = _numbers_record(fact.info), _rank_labels(catalogue)
    return [
        " * ".join(
            promql.aggregate(Reduce.SUM, ranks, promql.selector(numbers, {"fact": (label,)})) for label in product
        )
        for product in fact.products
    ]


def _labels_record(info: str) -> str:
    return f"instance:{_stem(info)}:labels"


def _numbers_record(info: str) -> str:
    return f"instance:{_stem(info)}:number"


def _stem(info: str) -> str:
    return info.replace(":", "_").removesuffix("_info")


def _label_numbers(catalogue: EngineCatalogue, info: str) -> Rules:
    """One number a label and rank. A text becomes a number once, however many replicas are configured so."""
    facts = [fact for fact in catalogue.numbers.values() if fact.info == info]
    labels = sorted({label for fact in facts for product in fact.products for label in product})
    words = {label for fact in catalogue.texts.values() if fact.info == info for label in fact.labels.values()}
    ranks, stem = _rank_labels(catalogue), _stem(info)
    series, texts, numbers = _labels_record(info), f"optiinfra:{stem}:text", f"optiinfra:{stem}:number"
    expr = promql.first_of(
        f"group by ({', '.join((*ranks, *sorted({*labels, *words})))}) ({name})" for name in spellings(info)
    )
    yield {"record": series, "expr": expr}
    if not labels:
        return
    every = promql.first_of(promql.text_of(series, label) for label in labels)
    yield {"record": texts, "expr": f"group by (text) ({promql.in_block(every)})"}
    yield {"record": numbers, "expr": promql.numbers_of(texts, catalogue.engine)}
    for label in labels:
        number = f"{promql.text_of(series, label)}\n* on (text) group_left () {numbers}"
        yield {
            "record": _numbers_record(info),
            "labels": {"fact": label},
            "expr": promql.aggregate(Reduce.SUM, ranks, number),
        }
