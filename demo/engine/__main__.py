"""`python -m demo.engine --config engine.yml`: one simulated engine in the foreground."""

import asyncio
import signal
import sys

from aiohttp import web

from demo.engine.config import ConfigError, EngineConfig, parse
from demo.engine.server import EngineServer


async def serve(config: EngineConfig) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are cut off, as vLLM does by default."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(EngineServer(config).app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, reuse_address=True).start()
        limits = config.limits
        print(
            f"simulated engine {config.model} on http://{config.host}:{config.port}: "
            f"max_num_seqs {limits.max_num_seqs}, KV cache {config.kv_cache_size_tokens} tokens, "
            f"ready in {config.load_seconds:g} s",
            flush=True,
        )
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Run; a configuration or an address that cannot work is one line on stderr and exit status 1."""
    try:
        asyncio.run(serve(parse(sys.argv[1:])))
    except (ConfigError, OSError) as error:
        print(f"demo.engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
