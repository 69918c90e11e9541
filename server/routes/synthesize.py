"""POST /v1/synthesize and WebSocket /v1/stream: a mel in, a waveform out, whole or in chunks."""

import logging
from collections.abc import AsyncIterator, Mapping
from functools import partial

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from server.audio.formats import FORMATS, STREAM_FORMATS, OutputSpec, negotiate
from server.problems import Problem
from server.request.exchange import Exchange, media_type, while_wanted
from server.request.mel import JSON, decode_mel, mel_path
from server.request.options import SynthesisQuery, printable, read_query
from server.routes.openapi import AUDIO_RESPONSE, MEL_BODY, PROBLEMS, query_of
from server.service import ServiceDependency
from server.stream.audio import VALUE_BYTES, AudioStream, chunk_bytes
from server.stream.session import WebSocketSession
from vocoder.adapt.path import Placement
from vocoder.admission import Admitted

logger = logging.getLogger(__name__)
router = APIRouter(tags=["synthesis"], responses=PROBLEMS, default_response_class=Response)

REQUEST = query_of(SynthesisQuery) | MEL_BODY


@router.post("/v1/synthesize", responses={200: AUDIO_RESPONSE}, openapi_extra=REQUEST)
@router.post("/synthesize", responses={200: AUDIO_RESPONSE}, openapi_extra=REQUEST)
async def synthesize(http: Request, service: ServiceDependency) -> Response:
    """Turn one mel-spectrogram into one waveform."""
    query = read_query(SynthesisQuery, http.query_params)
    if query.stream and http.scope["http_version"] == "1.0":
        detail = "Streams need HTTP/1.1: with HTTP/1.0, a broken connection looks like the end of the audio."
        raise Problem("upgrade-required", detail, headers={"Upgrade": "HTTP/1.1", "Connection": "Upgrade"})
    offers = STREAM_FORMATS if query.stream else FORMATS
    target, answer_type = negotiate(query.format, ", ".join(http.headers.getlist("accept")), offers)
    exchange = Exchange(http, service, query.model)
    config, kind = exchange.model.mel_config, media_type(http)
    rate, level = target.rate(config.sample_rate, query.sample_rate), query.level(query.stream)
    checking = partial(mel_path, query, config, service.mel_configs)  # reports errors before the body is read
    if query.preset is None:
        checking()
    else:  # this may load an adapter
        await service.run(checking, new=True)
    body = await exchange.read(service.settings.max_json_bytes if kind == JSON else service.settings.max_body_bytes)
    admitted = await exchange.admit(partial(decode_mel, body, kind, http.headers), query)
    output = OutputSpec(target, rate, level, service.origin(exchange.engine, exchange.sampling.seed))
    fields = {"X-Model": exchange.engine.name, **exchange.fields(admitted, query, rate, level)}
    headers = {"Content-Type": target.content_type(answer_type)}
    headers |= {name: printable(value) for name, value in fields.items()}
    headers |= {} if output.origin is None else {"X-Audio-Origin": output.origin.to_json()}
    return await (_stream if query.stream else _answer)(exchange, admitted, output, headers)


@router.websocket("/v1/stream")
@router.websocket("/stream")
async def stream(websocket: WebSocket, service: ServiceDependency) -> None:
    """Synthesize one mel while it is still arriving."""
    await WebSocketSession(websocket, service).run()


@router.get("/v1/stream", include_in_schema=False)
@router.get("/stream", include_in_schema=False)
async def refuse_plain_request() -> None:
    """Refuse a plain HTTP request."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    detail = "This address is a WebSocket: connect to it with ws:// or wss://."
    raise Problem("upgrade-required", detail, headers=headers)


async def _answer(exchange: Exchange, admitted: Admitted, output: OutputSpec, headers: dict[str, str]) -> Response:
    samples, sample_rate = admitted.path.samples(admitted.frames), exchange.model.mel_config.sample_rate
    exchange.expect(admitted, VALUE_BYTES * (samples + samples * output.rate // sample_rate))
    x, reached = await exchange.synthesize(admitted, output.level)
    encode = partial(output.format.encode, x, sample_rate, output.rate, output.origin)
    encoded = await exchange.encode(output.format.name, encode)
    duration = encoded.samples / output.rate
    headers |= {} if reached == output.level else {"X-Gain": f"{reached.gain:.2f}"}
    headers |= {
        "X-Audio-Samples": str(encoded.samples),
        "X-Audio-Duration": f"{duration:.6f}",
        "X-RTF": f"{exchange.seconds['infer'] / duration:.6f}",
        "X-Clipped-Samples": str(encoded.clipped),
        "Server-Timing": exchange.server_timing(),
    }
    return Response(encoded.body, headers=headers)


async def _stream(exchange: Exchange, admitted: Admitted, output: OutputSpec, headers: dict[str, str]) -> Response:
    """Synthesize the first chunk before responding, so that its errors are reported as problems."""
    config, path, rate = exchange.model.mel_config, admitted.path, output.rate
    exchange.expect(admitted, chunk_bytes(config, rate, admitted.frames))
    samples = -(-path.samples(admitted.frames) * rate // config.sample_rate)
    placement = Placement(path, admitted.frames)
    audio = AudioStream(exchange.service, exchange.engine, exchange.sampling, output, placement, exchange.http, samples)
    audio.push(admitted.mel[0].numpy())
    audio.end()
    first = audio.taken(await exchange.done(audio.next))
    exchange.lap("encode")
    exchange.note()
    headers |= {
        "X-Audio-Samples": str(samples),
        "X-Audio-Duration": f"{samples / rate:.6f}",
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
        "Server-Timing": exchange.server_timing(),
    }
    return StreamedAudio(exchange, audio, first, headers)


class StreamedAudio(StreamingResponse):
    """Sends audio chunk by chunk. The next chunk is computed once the connection has accepted the last.

    A failure closes the connection in the middle of the body, so that no client takes the audio for complete.
    """

    def __init__(self, exchange: Exchange, stream: AudioStream, first: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(self._parts(first), headers=headers)
        self._exchange = exchange
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; raises any error but a Problem that keeps it from being completed."""
        exchange = self._exchange
        with exchange.service.metrics.streams.labels(self._stream.route).track_inprogress():
            try:
                await while_wanted(exchange.http, self.stream_response(send))
            except ClientDisconnect:
                exchange.service.metrics.record("cancelled", model=exchange.engine.name, stage="streaming")
                exchange.http.state.problem = "client-disconnected"
            except Exception as error:
                exchange.http.state.problem = "stream-broken"
                logger.warning("a stream ended after %d samples: %s", self._stream.samples, error)
                if not isinstance(error, Problem):
                    raise

    async def _parts(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        yield b""  # `send` returns once the connection has accepted the previous part
        async for body in self._stream.bodies():
            yield body
            yield b""
