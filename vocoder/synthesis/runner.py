"""Run a model on mels of its own mel config: whole, several in one row, or as a pipeline; and remove its bias."""

import math
from collections.abc import Sequence
from functools import partial

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
from vocoder.stages import MEL, NOISE, Pipeline, Stage, run, windowed

WHOLE_FRAMES = 1024
"""frames of all mels of a batch that are computed at once; more are computed in parts"""
PART_FRAMES = 512
"""frames of all mels of a batch in a part"""
LEAST_PART_FRAMES = 128
"""frames of each mel in a part, whatever the size of the batch: the context of the stages must not weigh much"""

SILENT_FRAMES = 88
"""of the mel of silence that a bias is measured with"""
N_FFT, HOP_LENGTH = 1024, 256
"""of the spectra that a bias is removed from"""


class Runner:
    """A model on its device, the sharpening of its mels, the correction towards them, and the removal of its bias."""

    def __init__(self, model: Vocoder, mel_config: MelConfig, device: torch.device) -> None:
        # Where rounding grows, it must not depend on a chunk's length: a phase adds up the frequencies before it, and a
        # network that synthesizes sample by sample hears its own past. What reads their mels computes in float64.
        readers = [module for module in model.modules() if isinstance(module, PitchNet)]
        for reader in (*readers, model.condition) if isinstance(model, WaveNet) else readers:
            if device.type != "mps":  # which has no float64
                reader.double()
        self.model = model
        self.mel_config = mel_config
        self.device = device
        self.correction = Correction(mel_config, model.config.corrections).to(device)
        self._gap = max(1, *(max(stage.before, stage.after) for stage in model.stages()))  # between utterances in a row
        self._noise_shape = model.noise_channels, model.steps_per_frame
        self._denoiser: Denoiser | None = None

    def pipeline(self, sampling: Sampling, seeds: Sequence[int]) -> Pipeline:
        """Return the stages of sharpened mels that come piece by piece, one seed for each."""
        return Pipeline(self._stages(sampling), partial(self._noise, seeds))

    def _stages(self, sampling: Sampling) -> list[Stage]:
        stages = self.model.stages(sampling.sigma)
        stages += self.correction.with_count(sampling.corrections).stages(stages[-1].output, self.model.target)
        if sampling.denoise > 0:
            stages.append(self.denoiser().stage(stages[-1].output, sampling.denoise, self.mel_config.hop_length))
        return stages

    def sharpening(self, sampling: Sampling) -> Sharpening:
        """Return what the frames of an utterance go through first."""
        return sharpening_of(self.mel_config, self.device, sampling.sharpen)

    def whole(self, mel: Tensor, sampling: Sampling, seeds: Sequence[int]) -> Tensor:
        """Return audio (B, frames * hop_length) of mels (B, n_mels, frames), one seed for each.

        Long mels are computed in parts, in memory that does not grow with them.
        """
        items, _, frames = mel.shape
        part = frames if items * frames <= WHOLE_FRAMES else max(PART_FRAMES // items, LEAST_PART_FRAMES)
        with torch.inference_mode():  # spares each operation a part of its overhead
            mel = self.sharpening(sampling).push(mel)
            if part >= frames:
                x = run(self._stages(sampling), {MEL: mel, NOISE: self._noise(seeds, 0, frames)}).signal[:, 0]
            else:
                pipeline = self.pipeline(sampling, seeds)
                pipeline.feed(mel)
                pipeline.finish()
                parts = [pipeline.advance(min(part, frames - start))[:, 0] for start in range(0, frames, part)]
                x = torch.cat(parts, dim=1)
        return x.clone()  # outside of that mode, so that gradients may begin with it

    def together(self, mels: Sequence[Tensor], samplings: Sequence[Sampling]) -> list[Tensor]:
        """Return the audio (frames * hop_length,) of each mel (n_mels, frames), those that can in one row."""
        rows: dict[int | None, list[int]] = {}
        for i, mel in enumerate(mels):
            samples = mel.shape[1] * self.mel_config.hop_length
            if self.model.packs and samples > self.mel_config.padding:  # one too short for the correction runs alone
                rows.setdefault(samplings[i].corrections, []).append(i)
        audio: dict[int, Tensor] = {}
        for row in (row for row in rows.values() if len(row) > 1):
            audio |= zip(row, self._row([mels[i] for i in row], [samplings[i] for i in row]), strict=True)
        for i in set(range(len(mels))) - set(audio):
            audio[i] = self.whole(mels[i][None], samplings[i], samplings[i].seeds(1))[0]
        return [audio[i] for i in range(len(mels))]

    def denoiser(self) -> "Denoiser":
        """Return the removal of the model's bias, which is measured once."""
        if self._denoiser is None:
            silence = MelSpectrogram(self.mel_config).silence()[None, :, None].repeat(1, 1, SILENT_FRAMES)
            self._denoiser = Denoiser(self.whole(silence.to(self.device), Sampling(sigma=0.0), [0]))
        return self._denoiser

    @torch.no_grad()
    def _row(self, mels: Sequence[Tensor], samplings: Sequence[Sampling]) -> list[Tensor]:
        """Return the audio of mels in one row, all with the same number of corrections."""
        model = self.model
        packing = Packing([mel.shape[1] for mel in mels], self._gap, self.device)
        drawn = [self._noise(s.seeds(1), 0, mel.shape[1])[0] for mel, s in zip(mels, samplings, strict=True)]
        noise = packing.pack(drawn)
        mels = [self.sharpening(s).push(mel[None])[0] for mel, s in zip(mels, samplings, strict=True)]
        given = [model.config.sigma if s.sigma is None else float(s.sigma) for s in samplings]
        sigma = torch.tensor(given, device=self.device)[packing.owners(noise.shape[2] // packing.frames)]
        made = run(model.stages(sigma, packing), {MEL: packing.pack(mels), NOISE: noise})
        correction = self.correction.with_count(samplings[0].corrections)
        corrected = correction.many(packing.unpack(made.signal[:, 0]), packing.unpack(made.signals[model.target]))
        pairs = zip(corrected, samplings, strict=True)
        return [self.denoiser().remove(x[None], s.denoise)[0] if s.denoise > 0 else x for x, s in pairs]

    def _noise(self, seeds: Sequence[int], start: int, frames: int) -> Tensor:
        """Return white noise (B, C, steps) for the frames from `start` on, one seed for each item."""
        rows = [white_noise(seed, start, frames, *self._noise_shape).T for seed in seeds]
        together = rows[0][None] if len(rows) == 1 else torch.stack(rows)
        return together.to(self.device).transpose(1, 2)  # in memory as it was drawn


class Denoiser:
    """Removes a bias: subtracts a model's response to silence from the magnitudes of its audio and keeps the phase.

    The response x (1, T) is what the model makes of digital silence at sigma 0; the bias is its mean spectrum. (The
    published denoiser of WaveGlow asks for zeros instead, which is loud sound in the natural logarithm.)
    """

    def __init__(self, response: Tensor) -> None:
        self.window = torch.hann_window(N_FFT, device=response.device)
        self.bias = self._spectrum(response).abs().mean(dim=2, keepdim=True)

    def remove(self, x: Tensor, strength: float) -> Tensor:
        """Return audio (B, T) with `strength` times the bias subtracted from its magnitudes."""
        spectrum = self._spectrum(x)
        magnitude = spectrum.abs()
        scale = (magnitude - strength * self.bias).clamp_min(0) / magnitude.clamp_min(1e-12)
        return torch.istft(spectrum * scale, N_FFT, HOP_LENGTH, window=self.window, length=x.shape[1])

    def stage(self, signal: str, strength: float, hop_length: int) -> Stage:
        """Return the stage that removes the bias from `signal` (B, 1, T).

        A sample lies in spectra of N_FFT samples each, which reach as far again to its other side. They stand at
        multiples of HOP_LENGTH, wherever the mel's frames are.
        """
        reach = -(-N_FFT // hop_length)
        align = HOP_LENGTH // math.gcd(HOP_LENGTH, hop_length)
        removal = windowed(lambda x: self.remove(x[:, 0], strength)[:, None])
        return Stage("denoised", (signal,), removal, reach, reach, align)

    def _spectrum(self, x: Tensor) -> Tensor:
        return torch.stft(x, N_FFT, HOP_LENGTH, window=self.window, pad_mode="constant", return_complex=True)
