"""Trace a model as one function of noise and mel, or of the mel alone, in operations that other runtimes support."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import to_dict
from vocoder.correction.correction import Correction
from vocoder.export.transforms import ProductTransforms
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.layers.conditioning import PitchNet
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.convert import differences
from vocoder.mel.sharpening import sharpening_of
from vocoder.mel.values import mel_range
from vocoder.models.base import Vocoder
from vocoder.sampling import Sampling
from vocoder.stages import MEL, NOISE, run
from vocoder.synthesis.synthesizer import Synthesizer

CPU = torch.device("cpu")
EXAMPLE_FRAMES = 24  # frames of the mel used for tracing; a program takes any number from `Program.least_frames`
LEAST_FRAMES = 3
MOST_POINTS = 4096  # largest Fourier transform computed as matrix products
FROM_MEL_TO_AUDIO = "hifigan"  # sherpa-onnx's name for any vocoder from mel to audio (`hifigan-vocoder.cc`)
FROM_MEL_TO_SPECTRUM = "vocos"
"""its name for a vocoder from mel to spectrum (`vocos-vocoder.cc`), the only kind that ZipVoice supports"""


class ExportError(ValueError):
    """A model cannot be exported as a program."""


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Hide warnings of the libraries, which users of this package cannot act on."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(action="ignore"):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


class Program(nn.Module):
    """Maps noise z (B, C, steps) and a mel (B, n_mels, frames) to audio x (B, frames * hop_length).

    It computes what `Synthesizer.synthesize` does for the same noise. z is standard normal noise times the temperature,
    with `steps_per_frame` steps per frame. Only the correction differs slightly: it processes all frames of a grid at
    once, since runtimes have no loop over frames. With `products` Fourier transforms are computed as matrix products.
    `sharpen` is the strength for all frames, or None to measure each mel.
    """

    def __init__(self, model: Vocoder, correction: Correction, sharpen: float | None, products: bool) -> None:
        super().__init__()
        self.model, self.correction = model, correction
        sizes = {correction.config.n_fft, *(2**i for i in range(2, MOST_POINTS.bit_length()))}
        self.sharpen, self.silence = sharpen, mel_range(correction.config).silence
        sharpening_of(correction.config, CPU, sharpen)  # measures its constants before tracing
        self.transforms: AbstractContextManager[object] = ProductTransforms(sizes) if products else nullcontext()
        """the context in which its Fourier transforms run"""
        order = correction.order
        corrected = max(order.padding // order.hop_length + 1, 2 * order.grids) if correction.count else 1
        self.least_frames = max(corrected, LEAST_FRAMES)
        """fewest frames that it accepts: audio must be long enough for a mel, and tracing needs two frames per grid"""

    def forward(self, z: Tensor, mel: Tensor) -> Tensor:
        """Return x (B, frames * hop_length)."""
        mel = sharpening_of(self.correction.config, CPU, self.sharpen).push(mel.clamp_min(self.silence))
        with self.transforms:
            made = run(self.model.stages(1.0), {MEL: mel, NOISE: z})
            return self.correction.at_once(made.signal[:, 0], made.signals[self.model.target])


class MelProgram(nn.Module):
    """Maps a mel (B, n_mels, frames) to audio (B, frames * hop_length), with fresh noise times `sigma` in every run.

    If `inverted` is a mel config, the output is the spectrum of that audio, for the caller to invert: `mag`, `x` and
    `y`, each (B, n_fft // 2 + 1, frames + 1), stand for mag (x + i y). `mag` is 1, so x and y are real and imaginary
    part.
    """

    def __init__(self, program: Program, sigma: float, inverted: MelConfig | None = None) -> None:
        super().__init__()
        self.program, self.sigma, self.inverted = program, sigma, inverted
        self.window = nn.Buffer(torch.hann_window(0 if inverted is None else inverted.n_fft), persistent=False)

    def forward(self, mel: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Return the audio, or mag, x and y."""
        shape = self.program.model.noise_shape(mel.shape[0], mel.shape[2])
        audio: Tensor = self.program(torch.randn(shape) * self.sigma if self.sigma else torch.zeros(shape), mel)
        if self.inverted is None:
            return audio
        n_fft, hop_length = self.inverted.n_fft, self.inverted.hop_length
        padded = F.pad(audio[:, None], (n_fft // 2, n_fft // 2), mode="reflect")[:, 0]
        with self.program.transforms:
            spectrum = torch.fft.rfft(padded.unfold(1, n_fft, hop_length) * self.window).mT
        return torch.ones_like(spectrum.real), spectrum.real, spectrum.imag


@dataclass(frozen=True)
class Traced:
    """A program in the form of `torch.export`, and the facts that its users need, as text by name.

    It takes `z` and `mel` of any batch size and number of frames, or the mel alone; `outputs` are its outputs' names.
    """

    program: torch.export.ExportedProgram
    about: dict[str, str]
    outputs: tuple[str, ...] = ("x",)


def program_of(
    synthesizer: Synthesizer, corrections: int | None = None, sharpen: float | None = None, products: bool = False
) -> Program:
    """Return the program of a model, in float32 on the CPU; the synthesizer is not changed.

    `corrections` defaults to the model's own number; for `sharpen` and `products` see `Program`. Raises an ExportError
    if the model generates sample by sample, and a ValueError if corrections or sharpen is out of range.
    """
    Sampling(corrections=corrections, sharpen=sharpen)
    model = synthesizer.model
    if model.sequential:
        fault = "generates sample by sample, which is not a fixed sequence of operations"
        advice = "export a waveglow, or a student distilled from it"
        raise ExportError(f"a model of family {synthesizer.family} {fault}: {advice}")
    correction = Correction(synthesizer.mel_config, model.config.corrections if corrections is None else corrections)
    program = Program(copy.deepcopy(model).cpu(), correction, sharpen, products).eval().requires_grad_(False)
    set_compute_dtype(program, torch.float32)
    for module in program.modules():
        if isinstance(module, InvertibleConv1x1):
            module.solved()
        elif isinstance(module, PitchNet):
            module.double()
            module.spacing = torch.tensor(module.spacing, dtype=torch.float64)
    return program


@torch.no_grad()
def traced(synthesizer: Synthesizer, program: Program) -> Traced:
    """Trace the program of a model as a graph of operations."""
    z = torch.randn(program.model.noise_shape(2, EXAMPLE_FRAMES))
    mel = torch.randn(2, synthesizer.mel_config.n_mels, EXAMPLE_FRAMES)
    return Traced(_exported(program, program.least_frames, z, mel), about(synthesizer, program))


@torch.no_grad()
def traced_for_sherpa(synthesizer: Synthesizer, inner: Program, sigma: float | None = None) -> Traced:
    """Trace the program of a model, with `products`, as a graph that draws its own noise, with sherpa-onnx's metadata.

    `sigma` defaults to the model's own. Raises a ValueError if it is out of range, and an ExportError if the mels are
    not natural logarithms of magnitudes, as those of Matcha-TTS are.
    """
    Sampling(sigma=sigma)
    mel_config = synthesizer.mel_config
    if mel_config.log != "ln" or mel_config.power != 1.0 or mel_config.mean is not None:
        needed = "acoustic models for sherpa-onnx predict natural logarithms of magnitudes"
        raise ExportError(f"{needed}, but this model takes mels of the mel config {mel_config.name!r}, which are not")
    sigma = synthesizer.model.config.sigma if sigma is None else sigma
    inverted = not differences(preset("vocos"), mel_config)
    program = MelProgram(inner, sigma, mel_config if inverted else None).eval()
    exported = _exported(program, inner.least_frames, torch.randn(2, mel_config.n_mels, EXAMPLE_FRAMES))
    metadata = about(synthesizer, inner) | {
        "model_type": FROM_MEL_TO_SPECTRUM if inverted else FROM_MEL_TO_AUDIO,
        **{name: str(getattr(mel_config, name)) for name in ("sample_rate", "n_mels", "hop_length", "n_fft")},
        "win_length": str(mel_config.n_fft),
        "sigma": str(sigma),
        "version": "1",
        "comment": "flow-vocoder",
    }
    return Traced(exported, metadata, ("mag", "x", "y") if inverted else ("audio",))


def _exported(program: nn.Module, least_frames: int, *signals: Tensor) -> torch.export.ExportedProgram:
    """Trace a program for any batch size and number of frames, by signals (B, C, steps) of `EXAMPLE_FRAMES` frames."""
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames", min=least_frames)
    per_frame = [x.shape[2] // EXAMPLE_FRAMES for x in signals]
    shapes = tuple({0: batch, 2: frames if steps == 1 else steps * frames} for steps in per_frame)
    # Conditions on the lengths that the tracer cannot prove become assertions in the program.
    return torch.export.export(
        program, signals, dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
    )


def about(synthesizer: Synthesizer, program: Program) -> dict[str, str]:
    """Return the facts that the users of a program need, as text by name."""
    facts: dict[str, Any] = {
        "family": synthesizer.family,
        "mel": to_dict(synthesizer.mel_config),
        "sigma": synthesizer.model.config.sigma,
        "z_channels": program.model.noise_channels,
        "z_steps_per_frame": program.model.steps_per_frame,
        "least_frames": program.least_frames,
        "corrections": program.correction.count,
        "sharpen": program.sharpen,
        "provenance": dict(synthesizer.provenance),
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}
