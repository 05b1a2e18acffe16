"""The engine's HTTP face: the part of vLLM's OpenAI server that clients, probes and scrapers use."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from demo.engine import protocol
from demo.engine.config import EngineConfig
from demo.engine.metrics import EngineMetrics
from demo.engine.model import EngineModel, Sequence
from demo.engine.protocol import ChatRequest, CompletionRequest
from demo.engine.runner import Runner, Ticket

VERSION = "0.32.0+sim"
_METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class EngineServer:
    """Routes over one model; `app()` loads it in the background and answers 503 until then, as an engine does."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._metrics = EngineMetrics(config)
        self._runner = Runner(EngineModel(config.limits), self._metrics)
        self._ready = False
        self._requests = 0

    def app(self) -> web.Application:
        """Return the application; serve it with `handler_cancellation=True`, or lost clients go unnoticed."""
        app = web.Application(middlewares=[self._refuse_while_loading])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/version", self._version),
                web.get("/metrics", self._expose),
                web.get("/v1/models", self._models),
                web.post("/v1/completions", self._completions),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        app.cleanup_ctx.append(self._engine)
        return app

    async def _engine(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._load_and_run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _load_and_run(self) -> None:
        await asyncio.sleep(self._config.load_seconds)
        self._ready = True
        await self._runner.run()

    @web.middleware
    async def _refuse_while_loading(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._ready:
            return web.Response(status=503, text="the model is still loading\n")
        return await handler(request)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def _expose(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": _METRICS_CONTENT_TYPE})

    async def _models(self, _request: web.Request) -> web.Response:
        model = {
            "id": self._config.model,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "vllm",
            "root": self._config.model,
            "parent": None,
            "max_model_len": self._config.max_model_len,
        }
        return web.json_response({"object": "list", "data": [model]})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, CompletionRequest)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, ChatRequest)

    async def _answer(self, request: web.Request, shape: type[CompletionRequest | ChatRequest]) -> web.StreamResponse:
        try:
            asked = shape.model_validate_json(await request.read())
            sequence = self._sequence(asked)
            ticket = self._runner.submit(sequence, stream=asked.stream)
        except ValidationError as error:
            return _refuse(_first_problem(error))
        except ValueError as error:
            return _refuse(str(error))
        except LookupError as error:
            return _refuse(str(error.args[0]), status=404, kind="NotFoundError")
        try:
            if asked.stream:
                return await self._stream(request, asked, ticket)
            await ticket.done.wait()
            return web.json_response(self._body(asked, sequence))
        finally:
            self._runner.abort(ticket)  # does nothing once the request has finished

    def _sequence(self, asked: CompletionRequest | ChatRequest) -> Sequence:
        if asked.model not in {None, self._config.model}:
            raise LookupError(f"The model `{asked.model}` does not exist; this server has `{self._config.model}`.")
        prompt = asked.prompt_tokens()
        limit = asked.limit(self._config.max_model_len - len(prompt))
        if len(prompt) + limit > self._config.max_model_len:
            raise ValueError(
                f"This model's maximum context length is {self._config.max_model_len} tokens. However, you requested "
                f"{limit} output tokens and your prompt contains {len(prompt)} input tokens."
            )
        stop = None
        if not asked.ignore_eos:
            stop = protocol.natural_length(prompt, self._config.mean_answer_tokens, self._config.seed)
        self._requests += 1
        prefix = "chatcmpl" if isinstance(asked, ChatRequest) else "cmpl"
        return Sequence(f"{prefix}-{self._requests:08x}", prompt, limit, self._runner.now(), stop)

    def _body(self, asked: CompletionRequest | ChatRequest, sequence: Sequence) -> dict[str, Any]:
        chat = isinstance(asked, ChatRequest)
        choice = protocol.full_choice(chat=chat, sequence=sequence)
        return {
            "id": sequence.id,
            "object": protocol.kind(chat=chat, chunk=False),
            "created": int(time.time()),
            "model": self._config.model,
            "choices": [choice],
            "usage": protocol.usage(sequence),
        }

    async def _stream(
        self, request: web.Request, asked: CompletionRequest | ChatRequest, ticket: Ticket
    ) -> web.StreamResponse:
        chat, sequence = isinstance(asked, ChatRequest), ticket.sequence
        if ticket.stream is None:
            raise RuntimeError("the ticket of a streamed request has no stream")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        head = {
            "id": sequence.id,
            "object": protocol.kind(chat=chat, chunk=True),
            "created": int(time.time()),
            "model": self._config.model,
        }
        with contextlib.suppress(ConnectionResetError):  # the client has gone; the caller aborts the request
            await response.prepare(request)
            sent, last = 0, False
            while not last:
                token = await ticket.stream.get()
                sent += 1
                last = ticket.done.is_set() and sent == sequence.generated
                choice = protocol.delta_choice(
                    chat=chat,
                    text=protocol.detokenize(token),
                    finish_reason=sequence.finish_reason if last else None,
                )
                await response.write(_event({**head, "choices": [choice]}))
            if asked.stream_options.include_usage:
                await response.write(_event({**head, "choices": [], "usage": protocol.usage(sequence)}))
            await response.write(b"data: [DONE]\n\n")
        return response


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _refuse(message: str, *, status: int = 400, kind: str = "BadRequestError") -> web.Response:
    return web.json_response(
        {"error": {"message": message, "type": kind, "param": None, "code": status}}, status=status
    )


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "body"
    return f"{where}: {problem['msg']}"
