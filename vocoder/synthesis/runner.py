"""Run a model on mels in its own mel config: whole, several in one row, or as a pipeline; and remove its bias."""

import math
from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from vocoder.correction.correction import Correction
from vocoder.layers.conditioning import PitchNet
from vocoder.mel.config import MelConfig
from vocoder.mel.sharpening import Sharpening, sharpening_of
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.base import Vocoder
from vocoder.models.wavenet import WaveNet
from vocoder.packing import Packing
from vocoder.sampling import Sampling, white_noise
from vocoder.stages import MEL, NOISE, Pipeline, Stage, inference, run

WHOLE_FRAMES = 1024
"""frames of a batch, over all its mels, up to which it is computed in one piece; longer batches are split into parts"""
PART_FRAMES = 512  # frames of a part, over all mels of the batch
LEAST_PART_FRAMES = 128
"""fewest frames of each mel in a part; in shorter parts the context of the stages would dominate the cost"""

SILENT_FRAMES = 88  # length of the silent mel that the bias is measured on
N_FFT, HOP_LENGTH = 1024, 256  # of the spectra in which the bias is subtracted


class Runner:
    """A model on its device, with the sharpening of its mels, the correction towards them, and the bias removal."""

    def __init__(self, model: Vocoder, mel_config: MelConfig, device: torch.device) -> None:
        # Rounding errors accumulate in a phase, which sums all earlier frequencies, and in an autoregressive network,
        # which hears its own output. Float64 conditioning keeps them independent of the chunk length.
        sensitive = [module for module in model.modules() if isinstance(module, PitchNet)]
        for module in (*sensitive, model.condition) if isinstance(model, WaveNet) else sensitive:
            if device.type != "mps":  # MPS has no float64
                module.double()
        self.model, self.mel_config, self.device = model, mel_config, device
        self.correction = Correction(mel_config, model.config.corrections).to(device)
        self._gap = max(1, *(max(stage.before, stage.after) for stage in model.stages()))  # between utterances in a row

    def pipeline(self, sampling: Sampling, seeds: Sequence[int]) -> Pipeline:
        """Return a pipeline for sharpened mels that arrive in pieces, with one seed for each mel."""
        stages = self.model.stages(sampling.sigma)
        stages += self.correction.with_count(sampling.corrections).stages(stages[-1].output, self.model.target)
        if sampling.denoise > 0:
            stages.append(self.denoiser.stage(stages[-1].output, sampling.denoise, self.mel_config.hop_length))
        return Pipeline(stages, partial(self._noise, seeds))

    def sharpening(self, sampling: Sampling) -> Sharpening:
        """Return the sharpening for the frames of one utterance."""
        return sharpening_of(self.mel_config, self.device, sampling.sharpen)

    def whole(self, mel: Tensor, sampling: Sampling, seeds: Sequence[int]) -> Tensor:
        """Return audio (B, frames * hop_length) for mels (B, n_mels, frames) and seeds, in parts that bound memory."""
        items, _, frames = mel.shape
        part = frames if items * frames <= WHOLE_FRAMES else max(PART_FRAMES // items, LEAST_PART_FRAMES)
        with inference(self.device.type):
            pipeline = self.pipeline(sampling, seeds)
            pipeline.feed(self.sharpening(sampling).push(mel))
            pipeline.finish()
            parts = [pipeline.advance(min(part, frames - start))[:, 0] for start in range(0, frames, part)]
        return torch.cat(parts, dim=1)  # an ordinary tensor, which autograd accepts

    def together(self, mels: Sequence[Tensor], samplings: Sequence[Sampling]) -> list[Tensor]:
        """Return the audio (frames * hop_length,) of each mel (n_mels, frames), batched in rows where possible."""
        rows: dict[int | None, list[int]] = {}
        for i, mel in enumerate(mels):
            samples = mel.shape[1] * self.mel_config.hop_length
            if self.model.packs and samples > self.mel_config.padding:  # the correction needs longer mels in a row
                rows.setdefault(samplings[i].corrections, []).append(i)
        audio: dict[int, Tensor] = {}
        for row in (row for row in rows.values() if len(row) > 1):
            with inference(self.device.type):
                made = self._row([mels[i] for i in row], [samplings[i] for i in row])
            audio |= zip(row, (x.clone() for x in made), strict=True)  # ordinary tensors, as of `whole`
        for i in set(range(len(mels))) - set(audio):
            audio[i] = self.whole(mels[i][None], samplings[i], samplings[i].seeds(1))[0]
        return [audio[i] for i in range(len(mels))]

    @cached_property
    def denoiser(self) -> "Denoiser":
        """The denoiser of this model; the bias is measured once, on first use."""
        silence = MelSpectrogram(self.mel_config).silence()[None, :, None].repeat(1, 1, SILENT_FRAMES)
        return Denoiser(self.whole(silence.to(self.device), Sampling(sigma=0.0), [0]))

    def _row(self, mels: Sequence[Tensor], samplings: Sequence[Sampling]) -> list[Tensor]:
        """Return the audio of mels computed in one row; all use the same number of corrections."""
        model = self.model
        packing = Packing([mel.shape[1] for mel in mels], self._gap, self.device)
        drawn = [self._noise(s.seeds(1), 0, mel.shape[1])[0] for mel, s in zip(mels, samplings, strict=True)]
        noise = packing.pack(drawn)
        mels = [self.sharpening(s).push(mel[None])[0] for mel, s in zip(mels, samplings, strict=True)]
        sigmas = [model.config.sigma if s.sigma is None else s.sigma for s in samplings]
        sigma = noise.new_tensor(sigmas)[packing.owners(noise.shape[2] // packing.frames)]
        made = run(model.stages(sigma, packing), {MEL: packing.pack(mels), NOISE: noise})
        correction = self.correction.with_count(samplings[0].corrections)
        corrected = correction.many(packing.unpack(made.signal[:, 0]), packing.unpack(made.signals[model.target]))
        pairs = zip(corrected, samplings, strict=True)
        return [self.denoiser.remove(x[None], s.denoise)[0] if s.denoise > 0 else x for x, s in pairs]

    def _noise(self, seeds: Sequence[int], start: int, frames: int) -> Tensor:
        """Return white noise (B, C, steps) for `frames` frames from `start`, with one seed for each item."""
        channels, steps = self.model.noise_channels, self.model.steps_per_frame
        rows = [white_noise(seed, start, frames, channels, steps).T for seed in seeds]
        together = rows[0][None] if len(rows) == 1 else torch.stack(rows)
        return together.to(self.device).transpose(1, 2)  # a view: memory keeps the layout in which it was drawn


class Denoiser:
    """Removes a model's bias: subtracts its magnitude spectrum from that of the audio and keeps the phase.

    The bias is the mean magnitude spectrum of `response` x (1, T), the model's audio for digital silence at sigma 0.
    (WaveGlow's published denoiser feeds an all-zero mel instead, which in the natural logarithm is loud sound.)
    """

    def __init__(self, response: Tensor) -> None:
        self.window = torch.hann_window(N_FFT, dtype=response.dtype, device=response.device)
        self.bias = self._spectrum(response).abs().mean(dim=2, keepdim=True)

    def remove(self, x: Tensor, strength: float) -> Tensor:
        """Return audio (B, T) with `strength` times the bias subtracted from its magnitudes."""
        spectrum = self._spectrum(x)
        magnitude = spectrum.abs()
        scale = (magnitude - strength * self.bias).clamp_min(0) / magnitude.clamp_min(1e-12)
        return torch.istft(spectrum * scale, N_FFT, HOP_LENGTH, window=self.window, length=x.shape[1])

    def stage(self, signal: str, strength: float, hop_length: int) -> Stage:
        """Return the stage that removes the bias from `signal` (B, 1, T).

        A sample depends on the N_FFT samples before and after it. The windows start at multiples of HOP_LENGTH, which
        need not coincide with mel frames.
        """
        reach = -(-N_FFT // hop_length)
        align = HOP_LENGTH // math.gcd(HOP_LENGTH, hop_length)
        return Stage("denoised", (signal,), lambda x: self.remove(x[:, 0], strength)[:, None], reach, reach, align)

    def _spectrum(self, x: Tensor) -> Tensor:
        return torch.stft(x, N_FFT, HOP_LENGTH, window=self.window, pad_mode="constant", return_complex=True)
