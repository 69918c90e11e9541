"""A minimal alternative to this server: FastAPI and Vocos with a lock around it.

Vocos runs in bfloat16 by autocast where the processor has instructions for it, elsewhere in float32.

The weights are random, of the published size: it is here for its pace alone. It needs the extra `peers`.
"""

import io
import threading
from typing import Annotated

import numpy as np
import soundfile
import torch
from fastapi import Body, FastAPI, Response

from benchmarks.vocos_peer import VocosPeer
from vocoder.loading import default_dtype
from vocoder.mel.config import preset


def create_app() -> FastAPI:
    """Return the application, for `uvicorn --factory`."""
    app, lock, config, dtype = FastAPI(), threading.Lock(), preset("nvidia"), default_dtype("cpu")
    vocoder = VocosPeer(config).eval()
    vocoder.synthesize(torch.zeros(1, config.n_mels, 100), dtype)

    @app.post("/synthesize")
    def synthesize(body: Annotated[bytes, Body(media_type="application/x-npy")]) -> Response:
        mel = torch.from_numpy(np.load(io.BytesIO(body)))
        with lock:
            x = vocoder.synthesize(mel[None], dtype)[0].numpy()
        wav = io.BytesIO()
        soundfile.write(wav, x, config.sample_rate, format="WAV")
        return Response(wav.getvalue(), media_type="audio/wav")

    return app
