"""What may be probed: targets are normalised before they are held against the list."""

import pytest

from exporters.inference.targets import AllowList, Target, TargetError, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://gpu-1:8000", Target("http", "gpu-1", 8000, "/metrics")),
        ("http://gpu-1:8000/", Target("http", "gpu-1", 8000, "/metrics")),
        ("gpu-1:8000", Target("http", "gpu-1", 8000, "/metrics")),
        ("HTTPS://GPU-1.Example/chat/metrics", Target("https", "gpu-1.example", 443, "/chat/metrics")),
        ("http://10.0.0.7", Target("http", "10.0.0.7", 80, "/metrics")),
        ("http://[2001:DB8::1]:8000", Target("http", "2001:db8::1", 8000, "/metrics")),
        ("http://[::ffff:10.0.0.7]:8000", Target("http", "10.0.0.7", 8000, "/metrics")),
        ("engine_0:8000/metrics", Target("http", "engine_0", 8000, "/metrics")),
        # A base, as for engines that Prometheus scrapes directly; and so no probe reads another page of a server.
        ("http://gpu-1:8000/chat", Target("http", "gpu-1", 8000, "/chat/metrics")),
        ("http://gpu-1:8000/chat/", Target("http", "gpu-1", 8000, "/chat/metrics")),
        ("http://gpu-1:8000/chat/metrics/", Target("http", "gpu-1", 8000, "/chat/metrics")),
        ("http://gpu-1:8000/flush_cache", Target("http", "gpu-1", 8000, "/flush_cache/metrics")),
    ],
)
def test_a_target_is_parsed_and_normalised(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "ftp://gpu-1:8000",
        "file:///etc/passwd",
        "javascript://gpu-1",
        "http://user:secret@gpu-1:8000",
        "http://gpu-1:8000\\@other:80",
        "http://gpu-1:8000/metrics?name=x",
        "http://gpu-1:8000/metrics#x",
        "http://gpu-1:99999",
        "http://gpu-1:0",
        "http://gpu-1:x",
        "http://",
        "http:///metrics",
        "http://gpu 1:8000",
        "http://gpu-1:8000/a b",
        "http://gpu-1:8000/\r\nHost: other",
        "http://[::1",
        "http://[fe80::1%25eth0]:8000",
        "http://gpu-é:8000",
        "http://2130706433:8000",  # 127.0.0.1, to the system's resolver, as are the next three
        "http://0x7f000001:8000",
        "http://127.1:8000",
        "http://0177.0.0.1:8000",
        "",
    ],
)
def test_what_is_no_plain_url_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="target"):
        parse_target(text)


def test_a_refused_target_does_not_repeat_its_credentials() -> None:
    with pytest.raises(TargetError) as refused:
        parse_target("http://user:secret@gpu-1:8000")
    assert "secret" not in str(refused.value)


def test_a_sibling_page_takes_the_place_of_the_metrics_page() -> None:
    assert parse_target("http://gpu-1:8000").sibling("/version").path == "/version"
    assert parse_target("http://gpu-1:8000/chat/metrics").sibling("/version").path == "/chat/version"


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        ("gpu-1:8000", "http://gpu-1:8000"),
        ("GPU-1:8000", "http://gpu-1:8000/other"),
        ("gpu-1:443", "https://gpu-1"),
        ("gpu-1:*", "http://gpu-1:9999"),
        ("10.0.0.7:8000", "http://[::ffff:10.0.0.7]:8000"),
        ("10.0.0.0/24", "http://10.0.0.7:8000"),
        ("10.0.0.0/24:8000", "http://10.0.0.7:8000"),
        ("10.0.0.0/24:*", "http://10.0.0.7:1"),
        ("[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000"),
        ("2001:db8::/32", "http://[2001:db8::7]:8000"),
        ("2001:db8::/32:8000", "http://[2001:db8::7]:8000"),
    ],
)
def test_a_listed_target_is_allowed(entry: str, target: str) -> None:
    assert AllowList.parse([entry]).allows(parse_target(target))


@pytest.mark.parametrize(
    ("entries", "target"),
    [
        ([], "http://127.0.0.1:8000"),
        (["gpu-1:8000"], "http://gpu-1:8001"),
        (["gpu-1:8000"], "http://gpu-1.other:8000"),
        (["gpu-1:8000"], "http://gpu-10:8000"),
        (["10.0.0.0/24:8000"], "http://10.0.0.7:8001"),
        (["10.0.0.0/24"], "http://10.0.1.7:8000"),
        (["gpu-1:8000"], "http://10.0.0.7.example:8000"),
        (["10.0.0.0/8:8001"], "http://gpu-1:8000"),  # no address is allowed for its port: no use to look it up
        (["10.0.0.0/8"], "http://[2001:db8::1]:8000"),
        (["10.0.0.0/8"], "http://[64:ff9b::10.0.0.7]:8000"),  # a translator's address is listed as such or not at all
        (["localhost:8000"], "http://127.0.0.1:8000"),
    ],
)
def test_what_is_not_listed_is_not_allowed(entries: list[str], target: str) -> None:
    assert not AllowList.parse(entries).allows(parse_target(target))


@pytest.mark.parametrize(
    "entry",
    ["gpu-1", "gpu-1:", "gpu-1:0", "gpu-1:70000", "*:8000", "10.0.0.7/24", "10.0.0.0/40", "http://a:1", "::1:80"],
)
def test_a_wrong_entry_is_refused_and_named(entry: str) -> None:
    with pytest.raises(TargetError, match="allowed target") as refused:
        AllowList.parse([entry])
    assert entry in str(refused.value)
