"""What one would write instead of this server: FastAPI, Vocos in bfloat16 by autocast, and one lock around it.

The weights are random, of the published size: it is here for its pace alone. It needs the extra `peers`.
"""

from __future__ import annotations

import io
import threading
from typing import Annotated

import numpy as np
import soundfile
import torch
from fastapi import Body, FastAPI, Response

from benchmarks.vocos_peer import VocosPeer
from vocoder.mel.config import preset


def create_app() -> FastAPI:
    """Return the application, for `uvicorn --factory`."""
    app, lock, config = FastAPI(), threading.Lock(), preset("nvidia")
    vocoder = VocosPeer(config).eval()
    vocoder.speak(torch.zeros(1, config.n_mels, 100), torch.bfloat16)

    @app.post("/synthesize")
    def synthesize(body: Annotated[bytes, Body(media_type="application/x-npy")]) -> Response:
        mel = torch.from_numpy(np.load(io.BytesIO(body)))
        with lock:
            x = vocoder.speak(mel[None], torch.bfloat16)[0].numpy()
        wav = io.BytesIO()
        soundfile.write(wav, x, config.sample_rate, format="WAV")
        return Response(wav.getvalue(), media_type="audio/wav")

    return app
