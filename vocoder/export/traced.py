"""A model as one function of noise and mel, or of the mel alone, in plain operations that other runtimes have."""

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
from vocoder.layers.product import FrameConv
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.convert import differences
from vocoder.mel.sharpening import Sharpener, Sharpening, check_strength
from vocoder.models.base import Vocoder
from vocoder.sampling import Sampling
from vocoder.stages import MEL, NOISE, run
from vocoder.synthesis.synthesizer import Synthesizer

EXAMPLE_FRAMES = 24
"""frames of the mel that a program is traced with; it takes any number from `Program.least_frames` on"""

LEAST_FRAMES = 3
MOST_POINTS = 4096
"""of a Fourier transform in products"""
FROM_MEL_TO_AUDIO = "hifigan"
"""what sherpa-onnx calls a vocoder from a mel to audio, whatever is inside (its `hifigan-vocoder.cc`)"""
FROM_MEL_TO_SPECTRUM = "vocos"
"""what it calls one whose spectrum it inverts (`vocos-vocoder.cc`), the only kind that ZipVoice takes"""


class ExportError(ValueError):
    """A model cannot be written as a program."""


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Hide what the libraries say about themselves, which is nothing that users of this package can change."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


class Program(nn.Module):
    """From noise z (B, C, steps) and a mel (B, n_mels, frames) to audio x (B, frames * hop_length).

    It does what `Synthesizer.synthesize` does with the same noise. z is standard normal noise times the temperature,
    and `steps_per_frame` of its steps belong to each frame. Only the correction takes all frames of a grid at once:
    runtimes have no loop over frames. What it makes of the samples is not quite the same. With `products` Fourier
    transforms are products of matrices. `sharpen` is the strength of all frames, or None to follow each mel.
    """

    def __init__(self, model: Vocoder, correction: Correction, sharpen: float | None, products: bool) -> None:
        super().__init__()
        self.model = model
        self.correction = correction
        sizes = {correction.config.n_fft, *(2**i for i in range(2, MOST_POINTS.bit_length()))}
        sharpened = correction.config.correctable and sharpen != 0
        self.sharpen, self._sharpener = sharpen, Sharpener(correction.config) if sharpened else None
        self._products = ProductTransforms(sizes) if products else None

    def transforms(self) -> AbstractContextManager[object]:
        """Return the context in which its Fourier transforms run."""
        return self._products or nullcontext()

    @property
    def least_frames(self) -> int:
        """Fewest frames that it takes: shorter audio has no mel to be corrected to, and tracing needs two of all."""
        order = self.correction.order
        corrected = max(order.padding // order.hop_length + 1, 2 * order.grids) if self.correction.count else 1
        return max(corrected, LEAST_FRAMES)

    def forward(self, z: Tensor, mel: Tensor) -> Tensor:
        """Return x (B, frames * hop_length)."""
        if self._sharpener is not None:
            mel = Sharpening(self._sharpener, self.sharpen).push(mel)
        with self.transforms():
            made = run(self.model.stages(1.0), {MEL: mel, NOISE: z})
            return self.correction.at_once(made.signal[:, 0], made.signals[self.model.target])


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
        shape = self.program.model.noise_shape(mel.shape[0], mel.shape[2])
        audio: Tensor = self.program(torch.randn(shape) * self.sigma if self.sigma else torch.zeros(shape), mel)
        if self.inverted is None:
            return audio
        n_fft, hop_length = self.inverted.n_fft, self.inverted.hop_length
        padded = F.pad(audio[:, None], (n_fft // 2, n_fft // 2), mode="reflect")[:, 0]
        with self.program.transforms():
            spectrum = torch.fft.rfft(padded.unfold(1, n_fft, hop_length) * self.window).mT
        return torch.ones_like(spectrum.real), spectrum.real, spectrum.imag


@dataclass(frozen=True)
class Traced:
    """A program in the form of `torch.export`, and what its users must know of it as plain text by name.

    It takes `z` and `mel` of any batch and number of frames, or the mel alone; `outputs` names what it returns.
    """

    program: torch.export.ExportedProgram
    about: dict[str, str]
    outputs: tuple[str, ...] = ("x",)


def program_of(
    synthesizer: Synthesizer, corrections: int | None = None, sharpen: float | None = None, products: bool = False
) -> Program:
    """Return the program of a model, in float32 on the CPU; the synthesizer is left as it is.

    `corrections` is by default the model's own number; `sharpen` and `products` are those of `Program`. Raises an
    ExportError if the model generates sample by sample, and a ValueError if corrections or sharpen is out of range.
    """
    Sampling(corrections=corrections, sharpen=sharpen)
    check_strength(sharpen, synthesizer.mel_config)
    model = synthesizer.model
    if model.sequential:
        raise ExportError(
            f"a model of family {synthesizer.family} generates sample by sample, each from those before, which is no "
            f"fixed sequence of operations: export a waveglow, or a student distilled from it"
        )
    steps = model.config.corrections if corrections is None else corrections
    correction = Correction(synthesizer.mel_config, steps)
    program = Program(copy.deepcopy(model).cpu(), correction, sharpen, products).eval().requires_grad_(False)
    set_compute_dtype(program, torch.float32)
    for module in program.modules():
        if isinstance(module, InvertibleConv1x1):
            module.fix()
        elif isinstance(module, PitchNet):
            for layer in module.double().modules():
                if isinstance(layer, FrameConv):
                    layer.in_products = True
            module.spacing = torch.tensor(module.spacing, dtype=torch.float64)
    return program


@torch.no_grad()
def traced(
    synthesizer: Synthesizer, corrections: int | None = None, sharpen: float | None = None, products: bool = False
) -> Traced:
    """Return the program of a model as a graph of operations; arguments and errors as of `program_of`."""
    program = program_of(synthesizer, corrections, sharpen, products)
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames", min=program.least_frames)
    z = torch.randn(2, program.model.noise_channels, program.model.steps_per_frame * EXAMPLE_FRAMES)
    mel = torch.randn(2, synthesizer.mel_config.n_mels, EXAMPLE_FRAMES)
    steps = frames if program.model.steps_per_frame == 1 else program.model.steps_per_frame * frames
    shapes = {"z": {0: batch, 2: steps}, "mel": {0: batch, 2: frames}}
    # Conditions that hold for all lengths, but that the tracer cannot prove, become assertions of the program.
    exported = torch.export.export(
        program, (z, mel), dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
    )
    return Traced(exported, about(synthesizer, program))


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
        **{name: str(getattr(mel_config, name)) for name in ("sample_rate", "n_mels", "hop_length", "n_fft")},
        "win_length": str(mel_config.n_fft),
        "sigma": str(sigma),
        "version": "1",
        "comment": "flow-vocoder",
    }
    return Traced(exported, told, ("mag", "x", "y") if inverted else ("audio",))


def about(synthesizer: Synthesizer, program: Program) -> dict[str, str]:
    """Return what the users of a program must know of it."""
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
