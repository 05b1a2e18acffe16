"""The page for people: what there is to see, with nothing loaded from elsewhere."""

from collections.abc import Iterable
from html import escape

# Forms go to this exporter, nothing else is loaded, and nobody frames the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def landing_page(
    *,
    version: str,
    collectors: Iterable[str],
    engines: Iterable[str] | None,
    completions: bool = False,
    notice: str | None = None,
) -> str:
    """Write the page as HTML.

    `engines` are those that a probe may name, None where probing is off; `completions` is whether probes with a module
    are on; `notice` is what a visitor must know first.
    """
    return _PAGE.format(
        version=escape(version),
        notice=f'<p class="notice" role="alert"><strong>{escape(notice)}</strong></p>\n' if notice else "",
        collectors="".join(map(_collector, collectors)),
        probe=_PROBING_OFF if engines is None else _PROBE.format(engines="".join(map(_engine, engines))),
        completions=_COMPLETIONS if completions else "",
    )


def _collector(name: str) -> str:
    name = escape(name)
    return f'<li><a href="/metrics?collect[]={name}">{name}</a></li>\n'


def _engine(name: str) -> str:
    name = escape(name)
    return f'<option value="{name}">{name}</option>'


_PROBING_OFF = "<p>Probing is off in this exporter.</p>"

_PROBE = """<form action="/probe" method="get">
<p><label for="target">Target</label>
<input id="target" name="target" type="text" required size="48" placeholder="http://127.0.0.1:8000/metrics"
 aria-describedby="allowed"></p>
<p><label for="engine">Engine</label> <select id="engine" name="engine">{engines}</select></p>
<p><button type="submit">Probe</button></p>
<p id="allowed">Only targets that <code>--probe-allow</code> names are read; others get 403.</p>
</form>"""

_COMPLETIONS = """<p><code>/probe?module=NAME&amp;target=URL</code> asks an endpoint for a few tokens and measures the
answer.</p>
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OptiInfra exporter</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 0 auto; padding: 1rem; }}
code {{ font-family: ui-monospace, monospace; }}
ul.collectors {{ display: flex; flex-wrap: wrap; gap: 0 1.5rem; padding: 0; list-style: none; }}
input, select, button {{ font: inherit; padding: .25rem .5rem; max-width: 100%; box-sizing: border-box; }}
.notice {{ border: 3px solid; padding: .5rem 1rem; }}
</style>
</head>
<body>
<header><h1>OptiInfra exporter</h1>
<p>Version {version}</p>
{notice}</header>
<main>
<h2>This node</h2>
<ul>
<li><a href="/metrics">/metrics</a>: GPUs and host</li>
<li><a href="/healthz">/healthz</a>: whether this process answers</li>
</ul>
<h3>Collectors that are on</h3>
<ul class="collectors">
{collectors}</ul>
<p>Choose with <code>?collect[]=cpu&amp;collect[]=load</code>, or leave out with <code>?exclude[]=disk</code>.</p>
<h2>Inference engines</h2>
<p><code>/probe?target=URL&amp;engine=auto</code> reads one and gives its metrics in OptiInfra's vocabulary.</p>
{probe}
{completions}</main>
</body>
</html>
"""
