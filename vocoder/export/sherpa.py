"""A model as the vocoder of a Matcha-TTS model in sherpa-onnx: one input `mel`, one output `audio`, noise inside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocoder.export.traced import EXAMPLE_FRAMES, ExportError, Program, Traced, about, program_of
from vocoder.sampling import Sampling
from vocoder.synthesis.synthesizer import Synthesizer

MODEL_TYPE = "hifigan"
"""what sherpa-onnx calls a vocoder from a mel to audio, whatever is inside (its `hifigan-vocoder.cc`)"""


class MelProgram(nn.Module):
    """From a mel (B, n_mels, frames) to audio (B, frames * hop_length), with fresh noise times `sigma` in every run."""

    def __init__(self, program: Program, sigma: float) -> None:
        super().__init__()
        self.program = program
        self.sigma = sigma

    def forward(self, mel: Tensor) -> Tensor:
        """Return the audio."""
        shape = mel.shape[0], self.program.channels, mel.shape[2] * self.program.steps_per_frame
        noise = torch.randn(shape) * self.sigma if self.sigma else torch.zeros(shape)
        x: Tensor = self.program(noise, mel)
        return x


@torch.no_grad()
def traced_for_sherpa(synthesizer: Synthesizer, corrections: int | None = None, sigma: float | None = None) -> Traced:
    """Return the program of a model as a graph with noise inside and the metadata that sherpa-onnx reads.

    Arguments and errors are those of `program_of`; sigma is the model's own if left out. Raises an ExportError also if
    the mels are not natural logarithms of magnitudes, as those of Matcha-TTS are.
    """
    Sampling(sigma=sigma)
    mel_config = synthesizer.mel_config
    if mel_config.log != "ln" or mel_config.power != 1.0 or mel_config.mean is not None:
        raise ExportError(
            f"acoustic models for sherpa-onnx make natural logarithms of magnitudes, and this model takes mels of the "
            f"contract {mel_config.name!r}, which are something else"
        )
    inner = program_of(synthesizer, corrections, products=True)
    sigma = synthesizer.model.config.sigma if sigma is None else sigma
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames", min=inner.least_frames)
    exported = torch.export.export(
        MelProgram(inner, sigma).eval(),
        (torch.randn(2, mel_config.n_mels, EXAMPLE_FRAMES),),
        dynamic_shapes={"mel": {0: batch, 2: frames}},
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    told = about(synthesizer, inner) | {
        "model_type": MODEL_TYPE,
        "sample_rate": str(mel_config.sample_rate),
        "n_mels": str(mel_config.n_mels),
        "hop_length": str(mel_config.hop_length),
        "sigma": str(sigma),
        "version": "1",
        "comment": "flow-vocoder",
    }
    return Traced(exported, told, output="audio")
