"""docs/tuning: the pages are what the code gives, and each says what an expert would want to know."""

import pytest

from demo.tuning.examples import DOCS, Page, pages
from demo.tuning.stories import STORIES

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def made() -> tuple[Page, ...]:
    return tuple(pages())


def test_the_pages_are_what_the_code_gives(made: tuple[Page, ...]) -> None:
    different = [page.name for page in made if (DOCS / page.name).read_text(encoding="utf-8") != page.text]
    assert different == [], "run: python -m demo.tuning.examples"


def test_there_is_a_page_of_each_engine_and_no_other() -> None:
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} == {f"{story.page}.md" for story in STORIES}
    readme = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [story.page for story in STORIES if f"({story.page}.md)" not in readme] == []


def test_only_the_cache_beside_an_engine_has_no_sized_change(made: tuple[Page, ...]) -> None:
    without = {page.name for page in made if "formula:" not in page.text}
    assert without == {"lmcache.md"}
