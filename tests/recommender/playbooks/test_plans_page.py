"""docs/plans.md tells the defaults that hold."""

import re
from pathlib import Path

from recommender.inventory import TuningConfig

PAGE = Path(__file__).parents[3] / "docs" / "plans.md"


def test_every_default_on_the_page_is_the_one_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 25
    shipped = TuningConfig()
    for key, shown in rows:
        value: object = shipped
        if key.endswith("*"):
            continue
        for part in key.split("."):
            value = getattr(value, part)
        if isinstance(value, tuple):
            assert (value, shown) == ((), "`[]`"), key
        elif value is None:
            assert shown == "none", key
        else:
            assert isinstance(value, int | float), key
            assert float(shown) == value, key
