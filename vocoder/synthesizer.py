"""The one way from a mel to a waveform: load a model, synthesize, stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vocoder.adapt.passage import Passage
from vocoder.adapt.path import AdaptMode, MelPath, path_between
from vocoder.adapt.placing import placed
from vocoder.batching import Batcher, Utterance
from vocoder.checkpoint import Checkpoint
from vocoder.description import described, in_a_line
from vocoder.guard.automatic import AUTO, begun, source_contract
from vocoder.guard.opinion import ENOUGH_FRAMES, GuardMode, MelWatch, checked
from vocoder.guard.verdict import Verdict
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.mel.input import MelError, check_sampling, mel_reader, seeds_of
from vocoder.models.base import Vocoder
from vocoder.precise_mels import read_mels_precisely
from vocoder.speaker import Speaker
from vocoder.streaming.session import CHUNK_FRAMES, LATE_GROWTH, LONG_CHUNK_FRAMES, QUICK_GROWTH, StreamSession, drained

__all__ = ["MelError", "Synthesizer"]

Mel = TypeVar("Mel", Tensor, np.ndarray)

Preset = str | Path | MelConfig | None
"""a contract: a preset's name, a contract file, or itself; "auto" recognises it, None is the model's own"""


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
        self._speaker = Speaker(self.model, self.mel_config, self.device)
        self._watch = MelWatch(self.mel_config, guard)
        self._batcher = Batcher(self.model, self._speaker.correction, self.device)
        self.adapted: str | None = None
        """name of the adapter that the last mel went through, None if it went through none"""

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

    @property
    def corrections(self) -> int:
        """How often audio is corrected towards its mel where a call does not say."""
        return int(self.model.config.corrections)

    def info(self) -> dict[str, Any]:
        """Return what the model is, as plain data: family, size, mel contract, provenance and measured quality."""
        return described(self.name, self._checkpoint, self.device, self.dtype)

    def path(self, preset: Preset = None, adapt: AdaptMode = "on", mel: Any = None) -> MelPath:
        """Return the way of mels of another contract to the model's: exact where there is one, else by an adapter.

        Args:
            preset: the contract: a preset's name, a contract file or a `MelConfig`; the model's own if left out.
            adapt: "off" takes no adapter.
            mel: (n_mels, frames) or (B, n_mels, frames), whose contract is recognised where the preset is "auto".

        Raises:
            MelMismatchError: there is no way.
            UnsureError: the preset is "auto" and the mel does not tell which it is.
            ConfigError: there is no such contract.
        """
        return path_between(source_contract(preset, self.mel_config, mel), self.mel_config, adapt)

    def check(self, mel: Tensor | np.ndarray, preset: Preset = None, adapt: AdaptMode = "on") -> Verdict:
        """Say how typical a mel (n_mels, frames) is of the model's contract, and what it looks like where it is not.

        A mel of another contract (`preset`, as in `synthesize`) is judged as what it claims to be.

        Raises:
            UnsureError: the preset is "auto" and the mel does not tell which it is.
            ValueError: the mel is not two-dimensional or not finite, or the guard knows no mels of this contract.
        """
        return checked(mel, self.path(preset, adapt, mel))

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
        preset: Preset = None,
        adapt: AdaptMode = "on",
    ) -> Mel:
        """Turn a mel into a waveform.

        Args:
            mel: (n_mels, frames) or (B, n_mels, frames), tensor or array, as `mel_config` says, or `preset`.
            sigma: sampling temperature, 0 or more; the model's default if left out.
            seed: of the noise; item i of a batch uses seed + i. Random if left out.
            denoise: strength of the bias removal, 0 for none, at most 1.
            corrections: how often the audio is corrected towards its mel; the model's default if left out. 40 give the
                best quality, fewer are faster.
            guard: what becomes of a mel that is not typical of `mel_config`: "warn" speaks it and raises a `MelWarning`
                (until one was typical: the next are not looked at), "strict" refuses it, "off" does not look; as the
                model was loaded with if left out.
            preset: the contract of the mel, where it is another: a preset's name, a contract file or a `MelConfig`. It
                is converted exactly where that can be done, else through an adapter, which `adapted` then names.
            adapt: "off" refuses mels that need an adapter.

        Returns:
            x (frames * hop_length,) or (B, frames * hop_length), of the kind that `mel` was: float32, and for a
            tensor on the mel's device. Of a contract with another time between frames, as long as those.

        Raises:
            MelError: the mel is not finite, or has a shape or values that no mel of the contract has.
            MelMismatchError: there is no way from the contract `preset` to the model's.
            UnlikelyMelError: it is not typical of the contract, and guard is "strict".
            ValueError: sigma, seed, denoise, corrections or guard is out of range.
        """
        path = self.path(preset, adapt, mel)
        batch = mel_reader(path.source, self.device).batch(mel)
        check_sampling(sigma, denoise, corrections)
        seeds = seeds_of(seed, batch.shape[0])
        own = path.convert(batch)
        self._watch.look(batch, guard, path)
        self.adapted = path.adapted
        x = placed(self._speaker.speak(own, sigma, seeds, denoise, corrections), path, batch.shape[2])
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
        paths = [self.path(utterance.preset, utterance.adapt, utterance.mel) for utterance in utterances]
        given = zip(paths, utterances, strict=True)
        mels = [path.convert(mel_reader(path.source, self.device).piece(utterance.mel)[0]) for path, utterance in given]
        for utterance in utterances:
            check_sampling(utterance.sigma, utterance.denoise, utterance.corrections)
        spoken = self._batcher.speak_rows(mels, utterances)
        return [self._finished(spoken.get(i), paths[i], utterance) for i, utterance in enumerate(utterances)]

    def run_frames(self, frames: Sequence[int]) -> int:
        """Return how many frames `synthesize_many` computes for mels of these lengths."""
        return self._batcher.row_frames(frames)

    def _finished(self, x: Tensor | None, path: MelPath, utterance: Utterance) -> Any:
        """Take the bias from audio of a row and place it; speak what stood in none."""
        mel = utterance.mel
        if x is None:
            names = ("sigma", "seed", "denoise", "corrections", "preset", "adapt")
            return self.synthesize(mel, **{name: getattr(utterance, name) for name in names}, guard="off")
        x = placed(self._speaker.without_bias(x[None], utterance.denoise)[0], path, mel.shape[1])
        return x.to(mel.device) if isinstance(mel, Tensor) else x.cpu().numpy()

    def open_stream(
        self,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
        preset: Preset = None,
        adapt: AdaptMode = "on",
        chunk_frames: int | None = None,
        first_chunk_frames: int | None = None,
    ) -> StreamSession:
        """Open an utterance whose mel comes piece by piece; the guard does not look at it.

        Args:
            sigma: as in `synthesize`.
            seed: as in `synthesize`.
            denoise: as in `synthesize`.
            corrections: as in `synthesize`.
            preset: as in `synthesize`.
            adapt: as in `synthesize`.
            chunk_frames: frames of a chunk; the last may be shorter. If left out, 64, and 1024 once the mel has ended,
                save for models that speak sample by sample.
            first_chunk_frames: frames of the first chunk; a few if left out. From it on chunks grow up to
                `chunk_frames`.

        Raises:
            ValueError: an argument is out of range.
        """
        check_sampling(sigma, denoise, corrections)
        path = self.path(preset, adapt)
        pipeline = self._speaker.pipeline(sigma, seeds_of(seed, 1), denoise, corrections)
        late = LONG_CHUNK_FRAMES if chunk_frames is None and not self.model.sequential else None
        chunk = CHUNK_FRAMES if chunk_frames is None else chunk_frames
        self.adapted = path.adapted
        check = mel_reader(path.source, self.device).piece
        growth = QUICK_GROWTH if self.model.noise_shape(1, 1)[2] == 1 else LATE_GROWTH
        return StreamSession(pipeline, check, Passage(path), chunk, first_chunk_frames, late, growth)

    def stream(
        self,
        mel: Any,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
        guard: GuardMode | None = None,
        preset: Preset = None,
        adapt: AdaptMode = "on",
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
            preset: as in `synthesize`.
            adapt: as in `synthesize`.
            chunk_frames: as in `open_stream`.
            first_chunk_frames: as in `open_stream`.

        Raises:
            MelError, UnlikelyMelError, ValueError: as in `synthesize`; of what an iterable yields when it is reached.
        """
        options: dict[str, Any] = {"sigma": sigma, "seed": seed, "denoise": denoise, "corrections": corrections}
        whole = isinstance(mel, (Tensor, np.ndarray))
        if not whole and (not isinstance(mel, Iterable) or isinstance(mel, (str, bytes, Sequence))):
            raise MelError(f"the mel must be a tensor, an array or an iterator of these, not {type(mel).__name__}")
        beginning, mel = begun(mel, ENOUGH_FRAMES) if preset == AUTO and not whole else (mel, mel)
        path = self.path(preset, adapt, beginning)
        options |= {"preset": path.source, "adapt": adapt}
        session = self.open_stream(**options, chunk_frames=chunk_frames, first_chunk_frames=first_chunk_frames)
        if whole:
            session.push(mel)
            self._watch.look(mel_reader(path.source, self.device).batch(mel), guard, path)
            return drained(session, ())
        return drained(session, self._watch.passing(mel, guard, path))
