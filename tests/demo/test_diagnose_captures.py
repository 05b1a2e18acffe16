"""docs/diagnose.md shows what the command really says of captured states."""

from demo.diagnose_captures import PAGE, STATES, output, past, written


def test_the_page_shows_what_the_command_says_of_two_of_its_states() -> None:
    page = PAGE.read_text(encoding="utf-8")
    states = ("saturated", "idle")
    with past(states) as url:
        outputs = {state: output(url, state) for state in states}
    assert "Set --max-num-seqs to" in outputs["saturated"]
    assert page == written(page, outputs), "run: python -m demo.diagnose_captures"


def test_the_page_has_a_place_for_each_captured_state() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [page.count(f"<!-- {state} -->") for state in STATES] == [1] * len(STATES)
