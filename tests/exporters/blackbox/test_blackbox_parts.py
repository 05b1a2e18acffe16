"""The parts of the black-box prober by themselves: events, instants, budget, configuration."""

import contextlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.blackbox.budget import Budget, BudgetSpent
from exporters.blackbox.completion import CompletionError, EngineError, Event, read_event
from exporters.blackbox.config import BlackboxConfig, BudgetLimits, load_config, parse_config
from exporters.blackbox.measure import Measured, Stopwatch
from exporters.blackbox.sse import EventStream, StreamError
from exporters.catalog import BlackboxPhase
from exporters.errors import SettingsError
from exporters.exchange import Step


class FakeClock:
    """Seconds that move when told to."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


# -- events


@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400), max_size=20),
)
def test_events_are_the_same_wherever_the_stream_is_cut(texts: list[str], end: str, cuts: list[int]) -> None:
    whole = "".join(f": note{end}id: 7{end}data: {text}{end}{end}" for text in texts).encode()
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    stream = EventStream(10_000)
    found = [event for start, stop in pairwise(places) for event in stream.feed(whole[start:stop])]
    assert found == texts


def test_lines_of_one_event_are_joined_and_a_byte_order_mark_is_none_of_it() -> None:
    assert EventStream(100).feed(b"\xef\xbb\xbfdata: a\ndata:b\ndata\nevent: x\n\n\n\n") == ["a\nb\n"]


def test_an_event_that_is_not_ended_is_none() -> None:
    assert EventStream(100).feed(b"data: a\n") == []


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 200, b"data: xxxx\n" * 60, b"x" * 101])
def test_an_event_too_large_is_refused_whether_in_one_line_or_in_many(piece: bytes) -> None:
    with pytest.raises(StreamError, match="more than 100 bytes"):
        EventStream(100).feed(piece)


@given(pieces=st.lists(st.binary(max_size=60) | st.sampled_from([b"data:", b"\n", b"\r", b"\r\n\r\n", b": x\n"])))
def test_any_bytes_are_events_or_no_stream_and_little_is_held_back(pieces: list[bytes]) -> None:
    stream = EventStream(64)
    with contextlib.suppress(StreamError):
        for piece in pieces:
            stream.feed(piece)
            assert stream._size + len(stream._rest) <= 64


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "text", "usage", "error", "content", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(data=st.text(max_size=80) | _JSON.map(json.dumps))
def test_any_event_is_read_or_refused(data: str) -> None:
    with contextlib.suppress(CompletionError, EngineError):
        event = read_event(data)
        assert event.generated_tokens is None or event.generated_tokens >= 0


# -- instants


def test_phases_last_from_the_end_of_the_one_before() -> None:
    clock = FakeClock()
    watch = Stopwatch(clock)
    for seconds, end in ((1, BlackboxPhase.MODEL), (2, Step.RESOLVED), (4, Step.CONNECTED), (8, Step.SECURED)):
        clock.at += seconds
        watch.end(end) if isinstance(end, BlackboxPhase) else watch.step(end)
    assert watch.sending_at() == 15
    clock.at += 16
    watch.step(Step.ANSWERED)
    assert watch.phases() == {"model": 1, "resolve": 2, "connect": 4, "tls": 8, "head": 16}


def test_first_token_counts_from_sending_and_gaps_from_text_to_text() -> None:
    clock = FakeClock()
    measured = Measured(Stopwatch(clock))
    clock.at += 2
    measured.stopwatch.step(Step.CONNECTED)
    for at, text in ((2.5, False), (3.0, True), (3.5, True), (4.0, False), (5.0, True), (7.0, False)):
        measured.take(Event(has_choice=True, has_text=text, finished=False, generated_tokens=None), at)
    measured.take(Event(has_choice=False, has_text=False, finished=False, generated_tokens=None), 9.0)
    measured.done = True
    assert measured.time_to_first_token() == 1.0
    assert measured.inter_token_latency(8) == 2.0
    assert measured.longest_gap == 1.5
    measured.counted_tokens = 5  # two of them without text
    assert measured.inter_token_latency(8) == 1.0
    assert (measured.generated_tokens(8), measured.generated_tokens(4)) == (5, 3)


def test_one_piece_has_no_gap() -> None:
    measured = Measured(Stopwatch(FakeClock()), done=True)
    measured.take(Event(has_choice=True, has_text=True, finished=True, generated_tokens=4), 1.0)
    assert measured.inter_token_latency(8) is None
    assert measured.longest_gap is None


# -- budget


def spend(budget: Budget, target: str = "a", tokens: int = 8, interval: float = 0) -> bool:
    try:
        with budget.spend(target, tokens, interval):
            return True
    except BudgetSpent:
        return False


def test_a_bucket_fills_evenly_and_not_above_its_size() -> None:
    clock = FakeClock()
    budget = Budget(BudgetLimits(probes_per_minute=6), clock)
    assert [spend(budget) for _ in range(8)] == [True] * 6 + [False] * 2
    clock.at += 10
    assert [spend(budget) for _ in range(2)] == [True, False]
    clock.at += 1000
    assert sum(spend(budget) for _ in range(20)) == 6


def test_less_than_one_probe_a_minute_is_one_in_several() -> None:
    clock = FakeClock()
    budget = Budget(BudgetLimits(probes_per_minute=0.5), clock)
    assert [spend(budget), spend(budget)] == [True, False]
    clock.at += 119
    assert not spend(budget)
    clock.at += 2
    assert spend(budget)


def test_what_is_refused_takes_nothing() -> None:
    clock = FakeClock()
    budget = Budget(BudgetLimits(probes_per_minute=2, tokens_per_hour=100), clock)
    assert not any(spend(budget, tokens=101) for _ in range(10))
    assert spend(budget, tokens=100)
    clock.at += 60
    assert not spend(budget, tokens=8)
    clock.at += 3600 * 0.08
    assert spend(budget, tokens=8)


def test_targets_are_remembered_no_longer_than_their_interval() -> None:
    clock = FakeClock()
    budget = Budget(BudgetLimits(probes_per_minute=6000), clock)
    for number in range(1000):
        clock.at += 1
        spend(budget, target=str(number), tokens=1, interval=10)
    assert len(budget._not_before) == 10


# -- configuration


def test_a_file_of_defaults_is_short() -> None:
    config = parse_config("modules:\n  completion: {}\n", "b.yml")
    assert config.modules["completion"].max_tokens == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the file needs modules"),
        ("- a", "line 1: the file must be a mapping; known keys: budget, modules"),
        ("modules: {}", "line 1: modules: needs at least 1 of them"),
        ("\nmodules: [", "line 2: not valid YAML: "),
        ("modules:\n  m: {}\n  m: {}", "line 3: modules.m is already on line 2"),
        ("modules:\n  m:\n    promt: x", "line 3: unknown key promt in modules.m; did you mean prompt?"),
        ("modules: {m: {}}\nbudgets: {}", "line 2: unknown key budgets; did you mean budget?"),
        ("modules:\n  'a b': {}", "line 2: modules.a b: a module's name is a small letter and up to 63 more, "),
        ("modules: {m: {endpoint: chatt}}", "line 1: modules.m.endpoint: expected 'chat' or 'completions'"),
        ("modules: {m: {max_tokens: 0}}", "line 1: modules.m.max_tokens: must be 1 or more"),
        ("modules: {m: {max_tokens: many}}", "line 1: modules.m.max_tokens: expected a whole number"),
        ("modules: {m: {timeout_seconds: 0}}", "line 1: modules.m.timeout_seconds: must be more than 0"),
        ("modules: {m: {nonce: perhaps}}", "line 1: modules.m.nonce: expected true or false"),
        ("modules: {m: {prompt: 5}}", "line 1: modules.m.prompt: expected a text; put it in quotes"),
        ("modules: {m: {model: ''}}", "line 1: modules.m.model: a model's name is 1 to 256 printable"),
        ("modules: {m: {targets: a}}", "line 1: modules.m.targets: expected a list"),
        ("modules:\n  m:\n", "line 2: modules.m: expected a mapping"),
        (
            "modules:\n  m:\n    headers:\n      user-agent: {value: x}",
            "line 4: modules.m.headers.user-agent: the prober sets this header itself; leave it out",
        ),
        (
            "modules:\n  m:\n    headers:\n      X-A: {value: x, file: y}",
            "line 4: modules.m.headers.X-A: give exactly one of value and file",
        ),
        ("modules: {m: {headers: {'X A': {value: x}}}}", "line 1: modules.m.headers.X A: a header's name is"),
        (
            "modules:\n  m:\n    headers: {X-A: {value: x}}",
            "line 3: modules.m.headers: name the targets that may have them",
        ),
        ("modules: {m: {targets: ['ftp://h']}}", "line 1: modules.m.targets.0: target 'ftp://h': the scheme must be"),
        ("modules:\n  m:\n    targets:\n    - h:1", "line 4: modules.m.targets.0: 'h:1': write the scheme too"),
        (
            "budget: {tokens_per_hour: 10}\nmodules:\n  m: {max_tokens: 11}",
            "line 3: modules.m.max_tokens: 11 is more than budget.tokens_per_hour (10): it could never run; lower",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_config(text, "b.yml")
    assert str(refused.value).startswith(f"b.yml {says}")


def test_all_that_is_wrong_with_a_file_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        parse_config("modules:\n  m:\n    max_tokens: 0\n    promt: x\n", "b.yml")
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["b.yml line 3", "b.yml line 4"]


def test_a_secret_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "blackbox.yml"
    file.write_text("modules: {m: {targets: ['https://h'], headers: {Authorization: {file: /nowhere/token}}}}")
    with pytest.raises(SettingsError, match=r"modules\.m: header Authorization: cannot read /nowhere/token: No such"):
        load_config(file)
    with pytest.raises(SettingsError, match="--blackbox-config: cannot read"):
        load_config(tmp_path / "missing.yml")


def test_a_secret_in_a_wrong_file_is_not_quoted() -> None:
    with pytest.raises(SettingsError) as refused:
        parse_config("modules: {m: {headers: {Authorization: {value: [s3cret]}}}}", "b.yml")
    assert "s3cret" not in str(refused.value)


def test_the_documented_defaults_allow_what_they_promise() -> None:
    config = BlackboxConfig.model_validate({"modules": {"completion": {}}})
    assert (
        config.budget.probes_per_minute * 60 * config.modules["completion"].max_tokens <= config.budget.tokens_per_hour
    )
