"""What is written reads back as it was meant."""

import math

from hypothesis import given
from hypothesis import strategies as st

from exporters.catalog import INFERENCE_FAMILIES
from exporters.exposition import Reader
from exporters.inference.render import Sample, render

LABELS = st.text('ab{}\\",=\n #\té中', max_size=8)


@given(st.dictionaries(LABELS, st.floats(), max_size=5))
def test_any_label_and_any_value_reads_back(values: dict[str, float]) -> None:
    family = INFERENCE_FAMILIES["llm_requests_running"]
    text = render([(family, [Sample("", (("engine", "vllm"), ("model", m)), value) for m, value in values.items()])])
    reading = Reader([family.name]).read(text)
    assert reading.skipped == 0
    found = {dict(labels)["model"]: value for labels, value in reading.samples.get(family.name, {}).items()}
    assert found.keys() == values.keys()
    assert all(found[m] == value or (math.isnan(found[m]) and math.isnan(value)) for m, value in values.items())


def test_help_and_type_come_before_the_samples_and_info_is_a_gauge() -> None:
    family = INFERENCE_FAMILIES["llm_engine_info"]
    labels = (("engine", "vllm"), ("model", "m"), ("version", ""))
    assert render([(family, [Sample("", labels, 1.0)])]).splitlines() == [
        f"# HELP llm_engine_info {family.help}",
        "# TYPE llm_engine_info gauge",
        'llm_engine_info{engine="vllm",model="m",version=""} 1.0',
    ]
    assert render([]) == ""
