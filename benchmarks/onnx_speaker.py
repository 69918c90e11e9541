"""A model in ONNX Runtime: noise and mel go in, audio comes out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vocoder.noise import white_noise
from vocoder.synthesizer import Synthesizer

__all__ = ["onnx_speaker"]


def onnx_speaker(voice: Synthesizer) -> Callable[[NDArray[np.float32]], object]:
    """Return what a user of the exported model does with a mel (n_mels, frames): white noise and a run."""
    import onnxruntime  # in the extra "export", as what writes the model

    from vocoder.exporters.exporting import export_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export_model(voice, "onnx", file)
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    channels = session.get_inputs()[0].shape[1]

    def speak(mel: NDArray[np.float32]) -> object:
        z = voice.model.config.sigma * white_noise(0, 0, mel.shape[1], channels, voice.hop_length // channels)
        return session.run(None, {"z": z[None].numpy(), "mel": mel[None]})

    return speak
