"""The parts of the OpenAPI document that FastAPI cannot derive: binary bodies, headers, problems."""

from __future__ import annotations

from typing import Any

from server import problems
from server.audio.encoding import FORMATS
from server.mel import decoding

__all__ = [
    "AUDIO_BODY",
    "AUDIO_RESPONSE",
    "INFERENCE_BODY",
    "INFERENCE_RESPONSE",
    "MEL_BODY",
    "MEL_RESPONSE",
    "problem_responses",
    "refusal_responses",
]

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

JSON_MEL: dict[str, Any] = {
    "schema": {
        "oneOf": [
            {
                "type": "object",
                "required": ["mel"],
                "additionalProperties": False,
                "properties": {"mel": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}},
            },
            {
                "type": "object",
                "required": ["mel_b64", "shape", "dtype"],
                "additionalProperties": False,
                "properties": {
                    "mel_b64": {"type": "string", "format": "byte"},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                    "dtype": {"enum": list(decoding.DTYPES)},
                },
            },
        ]
    }
}

MEL_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A mel (n_mels, frames) in the model's contract, or in that of `preset`.",
        "content": {
            decoding.NPY: BINARY,
            decoding.SAFETENSORS: BINARY,
            decoding.RAW: BINARY,
            decoding.JSON: JSON_MEL,
        },
    }
}

AUDIO_TYPES = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "application/octet-stream")
AUDIO_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An audio file: wav, flac, ogg or mp3, at any sample rate.",
        "content": dict.fromkeys(AUDIO_TYPES, BINARY),
    }
}

TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": ["FP32", "FP16", "FP64"]},
        "shape": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "integer", "minimum": 1}},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
}

INFERENCE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "JSON of the Open Inference Protocol; with Inference-Header-Content-Length, so much JSON and "
        "then the mel's bytes.",
        "content": {
            decoding.JSON: {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string", "maxLength": 256},
                        "parameters": {"type": "object"},
                        "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": TENSOR},
                        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                    },
                }
            },
            decoding.RAW: BINARY,
        },
    }
}

INFERENCE_RESPONSE: dict[str, Any] = {
    "description": "JSON with the tensor `audio`, whose values are in it or follow it.",
    "content": {
        decoding.JSON: {
            "schema": {
                "type": "object",
                "required": ["model_name", "model_version", "parameters", "outputs"],
                "properties": {"outputs": {"type": "array", "items": TENSOR}},
            }
        },
        decoding.RAW: BINARY,
    },
}


def _headers(**descriptions: str) -> dict[str, Any]:
    return {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
        for name, text in descriptions.items()
    }


AUDIO_RESPONSE: dict[str, Any] = {
    "description": "The waveform.",
    "content": {media_type: BINARY for offer in FORMATS for media_type in offer.media_types[:1]},
    "headers": _headers(
        X_Request_Id="The request's id, the client's own if it sent one.",
        X_Model="The model that synthesized it.",
        X_Sample_Rate="Samples per second.",
        X_Audio_Samples="Samples of audio.",
        X_Audio_Duration="Seconds of audio.",
        X_RTF="Seconds of inference per second of audio.",
        X_Seed="The seed of the noise: the same seed gives the same audio.",
        X_Audio_Origin="That the audio is synthetic, with its model, version and seed, as a JSON object.",
        X_Clipped_Samples="Samples outside [-1, 1] that the format could not hold and that were cut at full scale.",
        X_Mel_Preset="The convention that the mel came in, where it is not the model's own.",
        X_Mel_Adapted="The adapter that the mel went through, where no exact conversion was.",
        X_Mel_Guard="`typical`, or what the mel looks like.",
        X_Mel_Guard_Typicality="Percentage of true mels that are less likely.",
        X_Mel_Guard_Message="What the mel looks like and what would be right, where it is not typical.",
        Server_Timing="Milliseconds spent reading, decoding, queueing, inferring and encoding.",
    ),
}

MEL_RESPONSE: dict[str, Any] = {
    "description": "The mel (n_mels, frames), 32-bit floats.",
    "content": {decoding.NPY: BINARY},
    "headers": _headers(
        X_Request_Id="The request's id, the client's own if it sent one.",
        X_Mel_Config="The name of the mel contract.",
        X_Mel_Shape="n_mels,frames.",
        X_Sample_Rate="The contract's samples per second.",
    ),
}

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
    },
}

MEANINGS = {
    400: "The body is not what it says it is.",
    401: "This server asks for an API key.",
    403: "The API key lacks the role for this.",
    404: "There is no such model.",
    406: "No response format fits.",
    408: "The body came too slowly.",
    413: "The body, mel or audio is too large.",
    415: "The body has a media type or dtype that is not taken.",
    422: "A parameter, mel or audio is not valid; the detail says the likely mistake.",
    426: "A stream needs HTTP/1.1, which can tell its end from a broken connection.",
    429: "The quota of this API key is used up for now; see Retry-After.",
    500: "The server failed.",
    503: "The server is loading, stopping or full; see Retry-After.",
    504: "The time that the request gave, as in X-Deadline-Ms, passed.",
    507: "The device ran out of memory.",
}


def problem_responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Declare the problem documents that a route may answer with."""
    content = {problems.MEDIA_TYPE: {"schema": PROBLEM}}
    return {code: {"description": MEANINGS[code], "content": content} for code in codes}


def refusal_responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Declare the errors of a route of the Open Inference Protocol, which prescribes their shape."""
    schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    return {code: {"description": MEANINGS[code], "content": {decoding.JSON: {"schema": schema}}} for code in codes}
