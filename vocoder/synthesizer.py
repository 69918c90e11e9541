"""The one way from a mel to a waveform: load a model, synthesize, stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vocoder.batching import Batcher, Utterance
from vocoder.checkpoint import Checkpoint
from vocoder.denoiser import Denoiser, silent_mel
from vocoder.description import described, in_a_line
from vocoder.guard.guard import load_guard
from vocoder.guard.opinion import GuardMode, MelWatch
from vocoder.guard.verdict import Verdict
from vocoder.layers.mel_consistency import MelConsistency
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.mel.input import MelError, MelReader, check_sampling, seeds_of
from vocoder.models.base import Vocoder
from vocoder.noise import white_noise
from vocoder.precise_mels import read_mels_precisely
from vocoder.streaming.correction import correction_stages, denoising_stage
from vocoder.streaming.pipeline import Pipeline
from vocoder.streaming.session import CHUNK_FRAMES, LONG_CHUNK_FRAMES, StreamSession, drained

__all__ = ["MelError", "Synthesizer"]

Mel = TypeVar("Mel", Tensor, np.ndarray)

WHOLE_FRAMES = 1024
"""frames of all mels of a batch that are computed at once; more are computed in parts"""
PART_FRAMES = 512
"""frames of all mels of a batch in a part"""
LEAST_PART_FRAMES = 128
"""frames of each mel in a part, whatever the size of the batch: the context of the stages must not weigh much"""


class Synthesizer:
    """A model ready to speak.

    Args:
        checkpoint: the model and what its directory says.
        name: how it is called.
        device: where it runs.
        dtype: of the convolution stacks; bfloat16 or float32. Everything else stays in float32.
        guard: what becomes of mels that are not typical of the contract, where a call does not say.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str,
        device: str | torch.device,
        dtype: torch.dtype,
        guard: GuardMode = "warn",
    ) -> None:
        if not isinstance(checkpoint.model, Vocoder):
            raise TypeError(f"{checkpoint.family} models cannot synthesize")
        self._checkpoint = checkpoint
        self.name, self.family = name, checkpoint.family
        self.mel_config: MelConfig = checkpoint.mel_config
        self.provenance: Mapping[str, Any] = checkpoint.provenance
        self.quality: Mapping[str, Any] = checkpoint.quality
        self.device = torch.device(device)
        self.dtype = dtype
        self.model = checkpoint.model.to(self.device).eval().requires_grad_(False)
        set_compute_dtype(self.model, dtype)
        read_mels_precisely(self.model, self.device)
        self._consistency = MelConsistency(self.mel_config, self.model.config.corrections).to(self.device)
        self._reader = MelReader(self.mel_config, self.device)
        self._watch = MelWatch(self.mel_config, guard)
        self._denoiser: Denoiser | None = None
        self._batcher = Batcher(self.model, self._consistency, self.device)

    def __repr__(self) -> str:
        return in_a_line(self.info())

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveform in Hz."""
        return self.mel_config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per mel frame."""
        return self.mel_config.hop_length

    def info(self) -> dict[str, Any]:
        """Return what the model is, as plain data: family, size, mel contract, provenance and measured quality."""
        return described(self.name, self._checkpoint, self.device, self.dtype)

    def check(self, mel: Tensor | np.ndarray) -> Verdict:
        """Say how typical a mel (n_mels, frames) is of the model's contract, and what it looks like where it is not.

        Raises:
            ValueError: the mel is not two-dimensional or not finite, or the guard knows no mels of this contract.
        """
        return load_guard().check(mel, self.mel_config)

    @torch.no_grad()
    def synthesize(
        self,
        mel: Mel,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
        guard: GuardMode | None = None,
    ) -> Mel:
        """Turn a mel into a waveform.

        Args:
            mel: (n_mels, frames) or (B, n_mels, frames), tensor or array, as `mel_config` says.
            sigma: sampling temperature, 0 or more; the model's default if left out.
            seed: of the noise; item i of a batch uses seed + i. Random if left out.
            denoise: strength of the bias removal, 0 for none, at most 1.
            corrections: how often the audio is corrected towards its mel; the model's default if left out. 40 give the
                best quality, fewer are faster.
            guard: what becomes of a mel that is not typical of `mel_config`: "warn" speaks it and raises a `MelWarning`
                (until one was typical: the next are not looked at), "strict" refuses it, "off" does not look; as the
                model was loaded with if left out.

        Returns:
            x (frames * hop_length,) or (B, frames * hop_length), of the kind that `mel` was: float32, and for a
            tensor on the mel's device.

        Raises:
            MelError: the mel is not finite, or has a shape or values that no mel of the contract has.
            UnlikelyMelError: it is not typical of the contract, and guard is "strict".
            ValueError: sigma, seed, denoise, corrections or guard is out of range.
        """
        batch = self._reader.batch(mel)
        check_sampling(sigma, denoise, corrections)
        seeds = seeds_of(seed, batch.shape[0])
        self._watch.look(batch, guard)
        if batch.shape[0] * batch.shape[2] > WHOLE_FRAMES:
            x = self._in_parts(batch, self._pipeline(sigma, seeds, denoise, corrections))
        else:
            noise = self._noise(seeds, 0, batch.shape[2])
            x = self._consistency.with_steps(corrections)(self.model.sample(noise, batch, sigma), batch)
            x = self._bias().remove(x, denoise) if denoise > 0 else x
        x = x[0] if mel.ndim == 2 else x
        return x.to(mel.device) if isinstance(mel, Tensor) else x.cpu().numpy()

    def synthesize_many(self, utterances: Sequence[Utterance]) -> list[Any]:
        """Turn mels of different lengths into waveforms in one run; each comes out as from `synthesize`.

        The guard does not look at them.

        Returns:
            x (frames * hop_length,) of each utterance, of the kind that its mel was.

        Raises:
            MelError, ValueError: as in `synthesize`.
        """
        mels = [self._reader.piece(utterance.mel)[0] for utterance in utterances]
        for utterance in utterances:
            check_sampling(utterance.sigma, utterance.denoise, utterance.corrections)
        rows: dict[int | None, list[int]] = {}
        for i, mel in enumerate(mels):
            if self._batcher.takes(mel.shape[1]):
                rows.setdefault(utterances[i].corrections, []).append(i)
        spoken: dict[int, Tensor] = {}
        for corrections, together in rows.items():
            if len(together) > 1:
                seeds = [seeds_of(utterances[i].seed, 1)[0] for i in together]
                sigmas = [utterances[i].sigma for i in together]
                row = self._batcher.speak([mels[i] for i in together], sigmas, seeds, corrections)
                spoken |= dict(zip(together, row, strict=True))
        return [self._finished(spoken.get(i), utterance) for i, utterance in enumerate(utterances)]

    def run_frames(self, frames: Sequence[int]) -> int:
        """Return how many frames `synthesize_many` computes for mels of these lengths."""
        return self._batcher.row_frames(frames)

    def _finished(self, x: Tensor | None, utterance: Utterance) -> Any:
        """Take the bias from audio of a row; speak what stood in none."""
        mel, denoise = utterance.mel, utterance.denoise
        if x is None:
            options = {name: getattr(utterance, name) for name in ("sigma", "seed", "denoise", "corrections")}
            return self.synthesize(mel, **options, guard="off")
        x = self._bias().remove(x[None], denoise)[0] if denoise > 0 else x
        return x.to(mel.device) if isinstance(mel, Tensor) else x.cpu().numpy()

    def open_stream(
        self,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
        chunk_frames: int | None = None,
        first_chunk_frames: int | None = None,
    ) -> StreamSession:
        """Open an utterance whose mel comes piece by piece; the guard does not look at it.

        Args:
            sigma: as in `synthesize`.
            seed: as in `synthesize`.
            denoise: as in `synthesize`.
            corrections: as in `synthesize`.
            chunk_frames: frames of a chunk; the last may be shorter. If left out, 64, and 512 once the mel has ended,
                save for models that speak sample by sample.
            first_chunk_frames: frames of the first chunk; a few if left out. From it on chunks grow up to
                `chunk_frames`.

        Raises:
            ValueError: an argument is out of range.
        """
        check_sampling(sigma, denoise, corrections)
        pipeline = self._pipeline(sigma, seeds_of(seed, 1), denoise, corrections)
        late = LONG_CHUNK_FRAMES if chunk_frames is None and not self.model.sequential else None
        chunk = CHUNK_FRAMES if chunk_frames is None else chunk_frames
        return StreamSession(pipeline, self._reader.piece, self.hop_length, chunk, first_chunk_frames, late)

    def stream(
        self,
        mel: Any,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
        guard: GuardMode | None = None,
        chunk_frames: int | None = None,
        first_chunk_frames: int | None = None,
    ) -> Iterator[Any]:
        """Yield the waveform of one utterance in chunks whose concatenation is that of `synthesize`.

        Args:
            mel: (n_mels, frames), tensor or array; or an iterable of frames (n_mels,) and pieces (n_mels, frames),
                each of which is taken as late as possible: audio is yielded as soon as all that it depends on is there.
            sigma: as in `synthesize`.
            seed: as in `synthesize`.
            denoise: as in `synthesize`.
            corrections: as in `synthesize`.
            guard: as in `synthesize`; of a mel that comes in pieces, the first 128 frames are judged.
            chunk_frames: as in `open_stream`.
            first_chunk_frames: as in `open_stream`.

        Raises:
            MelError, UnlikelyMelError, ValueError: as in `synthesize`; of what an iterable yields when it is reached.
        """
        options: dict[str, Any] = {"sigma": sigma, "seed": seed, "denoise": denoise, "corrections": corrections}
        session = self.open_stream(**options, chunk_frames=chunk_frames, first_chunk_frames=first_chunk_frames)
        if isinstance(mel, (Tensor, np.ndarray)):
            session.push(mel)
            self._watch.look(self._reader.batch(mel), guard)
            return drained(session, ())
        if not isinstance(mel, Iterable) or isinstance(mel, (str, bytes, Sequence)):
            raise MelError(f"the mel must be a tensor, an array or an iterator of these, not {type(mel).__name__}")
        return drained(session, self._watch.passing(mel, guard))

    def prior(self, mel: Tensor, sigma: float | None, seeds: list[int]) -> Tensor:
        """Return the z (B, C, steps) to decode, drawn from the seeds, one for each mel of the batch."""
        return self.model.prior(self._noise(seeds, 0, mel.shape[2]), mel, sigma)

    def decode(self, z: Tensor, mel: Tensor) -> Tensor:
        """Return x (B, T) for z (B, C, steps) and mel (B, n_mels, frames)."""
        return self._consistency(self.model.inverse(z, mel)[0], mel)  # type: ignore[no-any-return]

    def _in_parts(self, batch: Tensor, pipeline: Pipeline) -> Tensor:
        """Return what would be made of the mels (B, n_mels, frames) at once, in memory that does not grow with them."""
        frames, hop_length = batch.shape[2], self.hop_length
        part = max(PART_FRAMES // batch.shape[0], LEAST_PART_FRAMES)
        pipeline.feed(batch)
        pipeline.finish()
        x = torch.empty(batch.shape[0], frames * hop_length, device=self.device)
        for start in range(0, frames, part):
            stop = min(start + part, frames)
            x[:, start * hop_length : stop * hop_length] = pipeline.advance(stop - start)[:, 0]
        return x

    def _pipeline(self, sigma: float | None, seeds: list[int], denoise: float, corrections: int | None) -> Pipeline:
        stages = self.model.stages(sigma)
        stages += correction_stages(self._consistency.with_steps(corrections), stages[-1].output)
        if denoise > 0:
            stages.append(denoising_stage(self._bias(), denoise, self.hop_length, stages[-1].output))
        return Pipeline(stages, partial(self._noise, seeds))

    def _noise(self, seeds: list[int], start: int, frames: int) -> Tensor:
        """Return white noise (B, C, steps) for the frames from `start` on, one seed for each item."""
        _, channels, steps = self.model.noise_shape(1, frames)
        noise = [white_noise(seed, start, frames, channels, steps // frames) for seed in seeds]
        return torch.stack(noise).to(self.device)

    def _bias(self) -> Denoiser:
        if self._denoiser is None:
            mel = silent_mel(self.mel_config).to(self.device)
            self._denoiser = Denoiser(self.decode(self.prior(mel, 0.0, [0]), mel))
        return self._denoiser
