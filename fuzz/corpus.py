"""Seeds for the fuzzers, made from captures and from what the tests know to be difficult."""

import json
from collections.abc import Iterator
from pathlib import Path

CAPTURES = Path(__file__).parents[1] / "tests" / "data" / "captures"
_LINES = 3

_ODD_LINES = (
    'vllm:num_requests_running{model_name="m",engine="0"} 3 1700000000000',
    'vllm:num_requests_running{model_name="a\\\\b\\"c\\nd} 1",} NaN',
    'vllm:request_latency_seconds_bucket{le="+Inf"} 5 # {trace_id="x"} 0.5 1',
    " \tvllm:num_requests_running\t{ a = \"1\" , } \t+Inf\r",
    'vllm:num_requests_running{a="1",a="2"} 1\nvllm:num_requests_running{} -0.0\nvllm:num_requests_running 0x1',
    "# TYPE vllm:num_requests_running counter\n# TYPE vllm:num_requests_running gauge\n# EOF",
    '{"vllm:num_requests_running",a="b"} 1',
)  # fmt: skip
_TARGETS = (
    "http://gpu-1:8000/chat/metrics", "gpu-1:8000", "HTTPS://GPU-1.Example", "http://[2001:DB8::1]:8000/a%20b",
    "http://[::ffff:169.254.169.254]", "http://user:secret@gpu-1:8000", "http://127.1:8000\\@x", "//a?b#c",
    "10.0.0.0/24:8000", "[::1]:*", "gpu-1:*", "2001:db8::/32",
)  # fmt: skip
_TIMES = ("2026-11-21T07:48:00.123456789+02:00", "2318-12-17T00:00:00Z")


_PAGES = (
    '{"version":"0.9.2"}', '{"object":"list","data":[{"id":"m","max_model_len":4096}]}', "[[], {}, null, true, 1e999]",
    '{"default_generation_settings":{"n_ctx":4096},"total_slots":4,"build_info":"b1-0"}',
    '{"internal_states":[{"max_running_requests":8}],"tp_size":2,"version":"0.5.3","model_path":"m"}',
)  # fmt: skip
_TOKENS = (
    "vllm:num_requests_running", "vllm:request_latency_seconds_bucket", "{", "}", '="', '"', '",', 'le="', "+Inf",
    "NaN", "\\\\", '\\"', "\\n", "\n", "\r", "\t", " ", "# TYPE ", "# {", "1_0", "1e5", "0x1", " 17", "__name__",
    "\u2003", "\x0b", "://", "http", "[::ffff:", "]:", "@", "/metrics", "127.0.0.1", "%2e", "..", ":*", "/8", "[",
    "null", "true", "1e999",
)  # fmt: skip


def seeds(kind: str) -> Iterator[bytes]:
    """The seeds of one fuzzer."""
    if kind == "exposition":
        for path in sorted(CAPTURES.rglob("*.prom")):
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            for start in range(0, len(lines), 20 * _LINES):
                yield "".join(lines[start : start + _LINES]).encode()
        yield from (line.encode() for line in _ODD_LINES)
    elif kind == "targets":
        yield from (target.encode() for target in _TARGETS)
    else:
        yield from (path.read_bytes() for path in sorted(CAPTURES.rglob("*.json")))
        yield from (page.encode() for page in _PAGES)
        yield from (json.dumps({"models": [{"name": "m", "size": 1, "expires_at": time}]}).encode() for time in _TIMES)


def write_dictionary(path: Path) -> None:
    """Write the tokens that a fuzzer puts together, as libFuzzer reads them."""
    escaped = ("".join(f"\\x{byte:02x}" for byte in token.encode()) for token in _TOKENS)
    path.write_text("".join(f'"{token}"\n' for token in escaped), encoding="ascii")


def write(kind: str, folder: Path) -> int:
    """Write the seeds of one fuzzer, a file each; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, seed in enumerate(seeds(kind), start=1):
        (folder / f"seed-{count:04}").write_bytes(seed)
    return count
