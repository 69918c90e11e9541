"""The parts of the OpenAPI document that FastAPI cannot derive: binary bodies, headers and problems."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from server.audio.formats import FORMATS
from server.problems import MEDIA_TYPE
from server.request.mel import JSON, NPY, RAW, SAFETENSORS

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
OBJECT: Schema = {"type": "object"}
BINARY: Schema = {"schema": {"type": "string", "format": "binary"}}

HEADERS = {
    "X-Request-Id": "The id of the request: the client's own if it is well-formed.",
    "X-Model": "The model that synthesized the audio.",
    "X-Model-Dtype": "The precision of the model's matrix products: float32, bfloat16 or int8.",
    "X-Sample-Rate": "Sample rate of the audio in Hz.",
    "X-Audio-Samples": "Length of the audio in samples.",
    "X-Audio-Duration": "Length of the audio in seconds.",
    "X-RTF": "Seconds of inference per second of audio.",
    "X-Seed": "The seed of the noise. On machines of the same type, it reproduces the audio.",
    "X-Audio-Origin": "A JSON object that marks the audio as synthetic and gives model, version, seed and precision.",
    "X-Gain": "Gain in dB that was applied for `gain` or `loudness`.",
    "X-Clipped-Samples": "Number of samples outside [-1, 1] that were clipped because the format cannot hold them.",
    "X-Mel-Preset": "The preset that the mel was made with, if it is not the model's own.",
    "X-Mel-Adapted": "The adapter that converted the mel, if no exact conversion exists.",
    "X-Mel-Sharpened": "How far the contrast was raised at the end of the mel, up to 1; absent if it was not.",
    "X-Mel-Recognised": "With preset=auto: the recognised preset.",
    "X-Mel-Guard": "The guard's verdict: `typical`, `too-short`, `unfamiliar`, or what the mel looks like.",
    "X-Mel-Guard-Typicality": "Percentage of real mels that are less likely than this one.",
    "X-Mel-Guard-Message": "For a mel that is not typical: what it looks like, and how to fix it.",
    "X-Mel-Guard-Preset": "For a mel that is not typical: the preset that its bands match.",
    "Server-Timing": "Milliseconds for reading, decoding, queueing, inference and encoding.",
}
"""the headers of a response with audio, with their descriptions"""


def _object(required: Iterable[str], properties: Schema, **further: Any) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties, **further}


def _body(description: str, content: Schema) -> Schema:
    return {"requestBody": {"required": True, "description": description, "content": content}}


def query_of(kind: type[BaseModel]) -> Schema:
    """Return the OpenAPI parameters of a route whose query is read with a pydantic model."""
    return {
        "parameters": [
            {"name": name, "in": "query", "description": field.pop("description", ""), "schema": field}
            for name, field in kind.model_json_schema()["properties"].items()
        ]
    }


def _headers(descriptions: Mapping[str, str]) -> Schema:
    return {name: {"description": text, "schema": STRING} for name, text in descriptions.items()}


ROWS: Schema = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
JSON_MEL = {"schema": _object(("mel",), {"mel": ROWS}, additionalProperties=False)}
MEL_BODY = _body(
    "A mel (n_mels, frames) made with the model's own mel config or with `preset`.",
    {NPY: BINARY, SAFETENSORS: BINARY, RAW: BINARY, JSON: JSON_MEL},
)
AUDIO_TYPES = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", RAW)
AUDIO_BODY = _body("A wav, flac, ogg or mp3 file at any sample rate.", dict.fromkeys(AUDIO_TYPES, BINARY))

MEL_TENSOR = {"name": "mel", "datatype": "FP32", "shape": [80, 1], "data": [-5.0] * 80}
INFERENCE_BODY = _body(
    "JSON of the Open Inference Protocol. If the mel's bytes follow it, Inference-Header-Content-Length is its length.",
    {JSON: {"schema": OBJECT, "example": {"inputs": [MEL_TENSOR], "parameters": {"seed": 1}}}, RAW: BINARY},
)
INFERENCE_RESPONSE: Schema = {
    "description": "JSON with the tensor `audio`. Its values are in the JSON or follow it.",
    "content": {JSON: {"schema": OBJECT}, RAW: BINARY},
}
AUDIO_RESPONSE: Schema = {
    "description": "The waveform.",
    "content": {media_type: BINARY for offer in FORMATS for media_type in offer.media_types[:1]},
    "headers": _headers(HEADERS),
}
MEL_HEADERS = {
    "X-Request-Id": HEADERS["X-Request-Id"],
    "X-Mel-Config": "The name of the mel config.",
    "X-Mel-Shape": "The mel's shape, as n_mels,frames.",
    "X-Sample-Rate": "Sample rate of the mel config in Hz.",
}
MEL_RESPONSE: Schema = {
    "description": "The mel (n_mels, frames), 32-bit floats.",
    "content": {NPY: BINARY},
    "headers": _headers(MEL_HEADERS),
}

FIELDS = {"type": {"type": "string", "format": "uri"}, "title": STRING, "status": {"type": "integer"}, "detail": STRING}
PROBLEM = _object(FIELDS, FIELDS | {"request_id": {"type": ["string", "null"]}})
PROBLEMS: dict[int | str, Schema] = {
    "default": {"description": "An error; `type` says which.", "content": {MEDIA_TYPE: {"schema": PROBLEM}}}
}
"""the error responses of a route"""
REFUSAL = _object(("error",), {"error": STRING})
REFUSALS: dict[int | str, Schema] = {"default": {"description": "An error.", "content": {JSON: {"schema": REFUSAL}}}}
"""the error responses of a route of the Open Inference Protocol, which prescribes their schema"""
