"""A model as the vocoder of a Matcha-TTS or ZipVoice model in sherpa-onnx: one input `mel`, noise inside."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.export.traced import EXAMPLE_FRAMES, ExportError, Program, Traced, about, program_of
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.convert import differences
from vocoder.sampling import Sampling
from vocoder.synthesis.synthesizer import Synthesizer

FROM_MEL_TO_AUDIO = "hifigan"
"""what sherpa-onnx calls a vocoder from a mel to audio, whatever is inside (its `hifigan-vocoder.cc`)"""
FROM_MEL_TO_SPECTRUM = "vocos"
"""what it calls one whose spectrum it inverts (`vocos-vocoder.cc`), the only kind that ZipVoice takes"""


class MelProgram(nn.Module):
    """From a mel (B, n_mels, frames) to audio (B, frames * hop_length), with fresh noise times `sigma` in every run.

    With a mel config to the spectrum of that audio, which its user inverts: `mag`, `x` and `y`, each (B, n_fft // 2 +
    1, frames + 1), stand for mag (x + i y). Magnitudes are 1, so that x and y are real and imaginary part.
    """

    window: Tensor

    def __init__(self, program: Program, sigma: float, inverted: MelConfig | None = None) -> None:
        super().__init__()
        self.program = program
        self.sigma = sigma
        self.inverted = inverted
        window = None if inverted is None else torch.hann_window(inverted.n_fft)
        self.register_buffer("window", window, persistent=False)

    def forward(self, mel: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Return the audio, or mag, x and y."""
        shape = mel.shape[0], self.program.channels, mel.shape[2] * self.program.steps_per_frame
        audio: Tensor = self.program(torch.randn(shape) * self.sigma if self.sigma else torch.zeros(shape), mel)
        if self.inverted is None:
            return audio
        n_fft, hop_length = self.inverted.n_fft, self.inverted.hop_length
        padded = F.pad(audio[:, None], (n_fft // 2, n_fft // 2), mode="reflect")[:, 0]
        with self.program.transforms():
            spectrum = torch.fft.rfft(padded.unfold(1, n_fft, hop_length) * self.window).mT
        return torch.ones_like(spectrum.real), spectrum.real, spectrum.imag


@torch.no_grad()
def traced_for_sherpa(
    synthesizer: Synthesizer, corrections: int | None = None, sharpen: float | None = None, sigma: float | None = None
) -> Traced:
    """Return the program of a model as a graph with noise inside and the metadata that sherpa-onnx reads.

    Arguments and errors are those of `program_of`; sigma is the model's own if left out. Raises an ExportError also if
    the mels are not natural logarithms of magnitudes, as those of Matcha-TTS are.
    """
    Sampling(sigma=sigma)
    mel_config = synthesizer.mel_config
    if mel_config.log != "ln" or mel_config.power != 1.0 or mel_config.mean is not None:
        raise ExportError(
            f"acoustic models for sherpa-onnx make natural logarithms of magnitudes, and this model takes mels of the "
            f"mel config {mel_config.name!r}, which are something else"
        )
    inner = program_of(synthesizer, corrections, sharpen, products=True)
    sigma = synthesizer.model.config.sigma if sigma is None else sigma
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames", min=inner.least_frames)
    inverted = not differences(preset("vocos"), mel_config)
    exported = torch.export.export(
        MelProgram(inner, sigma, mel_config if inverted else None).eval(),
        (torch.randn(2, mel_config.n_mels, EXAMPLE_FRAMES),),
        dynamic_shapes={"mel": {0: batch, 2: frames}},
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    told = about(synthesizer, inner) | {
        "model_type": FROM_MEL_TO_SPECTRUM if inverted else FROM_MEL_TO_AUDIO,
        "sample_rate": str(mel_config.sample_rate),
        "n_mels": str(mel_config.n_mels),
        "hop_length": str(mel_config.hop_length),
        "n_fft": str(mel_config.n_fft),
        "win_length": str(mel_config.n_fft),
        "sigma": str(sigma),
        "version": "1",
        "comment": "flow-vocoder",
    }
    return Traced(exported, told, ("mag", "x", "y") if inverted else ("audio",))
