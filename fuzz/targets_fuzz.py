"""Fuzzes what reads targets and the allow-list: TargetError or a URL in one form, never more. Run by `fuzz`."""

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["exporters.inference.targets", "exporters.inference.addresses"]):
    from exporters.inference.addresses import never_fetched, parse_address
    from exporters.inference.targets import AllowList, TargetError, parse_endpoint, parse_target

EVERYTHING = AllowList.parse(["0.0.0.0/0", "::/0"])


def one_input(data: bytes) -> None:
    """Raises where something is wrong."""
    text = data.decode("utf-8", errors="replace")
    with contextlib.suppress(TargetError):
        AllowList.parse([text])
    try:
        target = parse_target(text)
    except TargetError:
        return
    pages = [parse_endpoint(text, paths).at("") for paths in ([], ["/metrics", "/prometheus/metrics"])]
    if any((page.scheme, page.netloc) != (target.scheme, target.netloc) for page in pages):
        raise AssertionError(f"{text!r} is {pages} and {target}")
    url = f"{target.scheme}://{target.netloc}{target.path}"
    if not url.isascii() or not url.isprintable() or set(url) & set(" \\?#") or "@" in target.netloc:
        raise AssertionError(f"{text!r} became {url!r}")
    if parse_target(url) != target:
        raise AssertionError(f"{text!r} became {url!r}, which is {parse_target(url)}")
    address = parse_address(target.host)
    if address is not None and never_fetched(address) and EVERYTHING.allows(target):
        raise AssertionError(f"{text!r} is allowed")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
