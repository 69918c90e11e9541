"""The one way from a mel to a waveform: whole, in rows, or as a stream."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vocoder.adapt.path import MelPath
from vocoder.admission import Admitted, StreamAdmission, admit, check, path_of
from vocoder.audio.writing import Origin
from vocoder.checkpoint import Checkpoint
from vocoder.config import check_options, to_dict
from vocoder.guard.verdict import Verdict
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.mel.config import MelConfig, MelWarning
from vocoder.mel.config_file import AUTO
from vocoder.mel.values import MelError
from vocoder.models.base import Vocoder
from vocoder.sampling import SAMPLING_FIELDS, AdaptMode, Device, GuardMode, Preset, Sampling, Utterance, guard_mode
from vocoder.synthesis.runner import Runner
from vocoder.synthesis.stream import ChunkSizes, StreamSession, begun, drained

Mel = TypeVar("Mel", Tensor, np.ndarray)

OPTIONS = (*SAMPLING_FIELDS, "guard", "preset", "adapt")
"""of a synthesis, whole or streamed"""


class Synthesizer:
    """A model ready to synthesize.

    Args:
        checkpoint: the model and what its directory says.
        name: of the model.
        device: where it runs.
        dtype: of the convolution stacks; bfloat16 or float32. Everything else stays in float32.
        guard: for mels that are not typical of their mel config, where a call does not say.
    """

    def __init__(
        self, checkpoint: Checkpoint, name: str, device: Device, dtype: torch.dtype, guard: GuardMode = "warn"
    ) -> None:
        if not isinstance(checkpoint.model, Vocoder):
            raise TypeError(f"{checkpoint.family} models cannot synthesize")
        self.name, self.family = name, checkpoint.family
        self.mel_config: MelConfig = checkpoint.mel_config
        self.provenance: Mapping[str, Any] = checkpoint.provenance
        self.quality, self.weights_sha256 = checkpoint.quality, checkpoint.weights_sha256
        self.device, self.dtype = torch.device(device), dtype
        self.model = checkpoint.model.to(self.device).eval().requires_grad_(False)
        set_compute_dtype(self.model, dtype)
        self._runner = Runner(self.model, self.mel_config, self.device)
        self._guard = guard_mode(guard)

    def __repr__(self) -> str:
        info, mel = self.info(), self.mel_config
        size = f"{info['parameters'] / 1e6:.1f} million parameters"
        mels = f"mels {mel.name!r} of {mel.n_mels} bands at {mel.sample_rate} Hz"
        return f"<Synthesizer {self.name!r}: {self.family}, {size}, {mels}, {info['dtype']} on {self.device}>"

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

    @property
    def lookahead(self) -> int:
        """Mel frames after a frame that a stream waits for before it synthesizes it, with the default corrections."""
        return self._runner.pipeline(Sampling(), [0]).lookahead

    def origin(self, seed: int | None = None) -> Origin:
        """Return the mark for `write_audio`: that audio is synthetic, of this model, in its precision, with a seed.

        Of a directory it has the name alone.
        """
        name = Path(self.name).resolve().name if Path(self.name).is_dir() else self.name
        return Origin(name, seed=seed, dtype=str(self.dtype).removeprefix("torch."))

    def info(self) -> dict[str, Any]:
        """Return what the model is, as plain data: family, size, mel config, look-ahead, provenance and quality."""
        config, lookahead = self.model.config, self.lookahead
        return {
            "name": self.name,
            "family": self.family,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "sigma": config.sigma,
            "corrections": config.corrections,
            "lookahead_frames": lookahead,
            "lookahead_ms": round(1000 * lookahead * self.hop_length / self.sample_rate),
            "mel": to_dict(self.mel_config),
            "architecture": to_dict(config),
            "provenance": dict(self.provenance),
            "quality": dict(self.quality),
            "weights_sha256": self.weights_sha256,
        }

    def path(self, preset: Preset = None, adapt: AdaptMode = "on", mel: Any = None) -> MelPath:
        """Return how mels of another mel config reach the model: exactly if possible, else through an adapter.

        Arguments are those of `synthesize`; the mel is needed if the preset is "auto".

        Raises:
            MelMismatchError: there is no conversion.
            UnsureError: the preset is "auto" and the mel does not tell which it is.
            ConfigError: there is no such mel config.
        """
        return path_of(preset, self.mel_config, adapt, mel)

    def check(self, mel: Tensor | np.ndarray, preset: Preset = None, adapt: AdaptMode = "on") -> Verdict:
        """Say how typical a mel (n_mels, frames) is of its mel config, and what it looks like if it is not.

        Raises as `path`, and a ValueError if the mel is not two-dimensional or not finite, or no guard knows its mel
        config.
        """
        return check(mel, self.path(preset, adapt, mel))

    def admit(
        self, mel: Any, preset: Preset = None, adapt: AdaptMode = "on", guard: GuardMode | None = None
    ) -> Admitted:
        """Check and convert a mel as `synthesize` does, for `stream` and `synthesize_many`, which take the result."""
        mode = self._guard if guard is None else guard_mode(guard)
        return admit(mel, self.mel_config, preset, adapt, mode, device=self.device)

    def synthesize(
        self,
        mel: Mel,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
        sharpen: float | None = None,
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
            corrections: how often the audio is corrected towards its mel; the model's default if left out; fewer are
                faster.
            sharpen: how far the contrast of the mel is raised above 1 kHz, 0 to 1. If left out, as far as it lacks the
                texture of recordings, as mels that acoustic models predict do: true mels stay as they are.
            guard: for a mel that is not typical of its mel config: "warn" synthesizes it with a `MelWarning`,
                "strict" refuses it, "off" does not look; as the model was loaded with if left out.
            preset: the mel config of the mel, if it is not the model's own: a preset's name, a file or a `MelConfig`;
                "auto" recognises it. The mel is converted exactly if possible, else through an adapter.
            adapt: "off" refuses mels that need an adapter.

        Returns:
            x (frames * hop_length,) or (B, frames * hop_length), of the kind that `mel` was: float32, and for a
            tensor on the mel's device. With another time between frames, as long as the frames of `preset`.

        Raises:
            MelError: the mel is not finite, or has a shape or values that no mel of its mel config has.
            MelMismatchError: there is no conversion from `preset` to the model's mel config.
            UnlikelyMelError: it is not typical of its mel config, and guard is "strict".
            ValueError: sigma, seed, denoise, corrections, sharpen or guard is out of range.
        """
        sampling = Sampling(sigma=sigma, seed=seed, denoise=denoise, corrections=corrections, sharpen=sharpen)
        admitted = self._admitted(mel, preset, adapt, guard)
        x = self._runner.whole(admitted.mel, sampling, sampling.seeds(len(admitted.mel)))
        return admitted.returned(x)  # type: ignore[no-any-return]

    def synthesize_many(self, utterances: Sequence[Utterance]) -> list[Any]:
        """Turn mels of different lengths into waveforms in one run; each comes out as from `synthesize`.

        The guard does not judge them. Returns x (frames * hop_length,) of each utterance, of the kind that its mel was.
        Raises as `synthesize`.
        """
        admitted = [self._admitted(each.mel, each.preset, each.adapt, "off") for each in utterances]
        if any(len(one.shape) != 2 for one in admitted):
            raise MelError("an utterance is one mel (n_mels, frames), not a batch")
        audio = self._runner.together([one.mel[0] for one in admitted], utterances)
        return [one.returned(x[None]) for one, x in zip(admitted, audio, strict=True)]

    def open_stream(
        self,
        *,
        preset: Preset = None,
        adapt: AdaptMode = "on",
        guard: GuardMode = "off",
        chunk_frames: int | None = None,
        first_chunk_frames: int | None = None,
        **sampling: Any,
    ) -> StreamSession:
        """Open an utterance whose mel comes piece by piece.

        Args, those of `synthesize` (`sampling` are sigma, seed, denoise, corrections and sharpen) and:
            guard: what `StreamSession.judge` does; nothing by default.
            chunk_frames: frames of a chunk; the last may be shorter. If left out, up to 128, and up to 1024 where so
                much of the mel is there; 64 for models that synthesize sample by sample.
            first_chunk_frames: frames of the first chunk; a few if left out. From it on chunks grow.

        Raises a ValueError if an argument is out of range, and a TypeError if there is no such.
        """
        check_options(sampling, (*OPTIONS, "chunk_frames", "first_chunk_frames"))
        chosen = Sampling(**sampling)
        admission = StreamAdmission(self.path(preset, adapt), guard_mode(guard), self.device)
        pipeline = self._runner.pipeline(chosen, chosen.seeds(1))
        sizes = ChunkSizes.of(self.model, chunk_frames, first_chunk_frames)
        return StreamSession(pipeline, self._runner.sharpening(chosen), admission, sizes)

    def stream(
        self,
        mel: Any,
        *,
        guard: GuardMode | None = None,
        preset: Preset = None,
        adapt: AdaptMode = "on",
        **options: Any,
    ) -> Iterator[Any]:
        """Yield the waveform of one utterance in chunks whose concatenation is that of `synthesize`.

        Args, those of `synthesize` and `open_stream` and:
            mel: (n_mels, frames), tensor or array; or an iterable of frames (n_mels,) and pieces (n_mels, frames). Each
                is taken as late as possible: audio is yielded as soon as all that it depends on is there. Of a mel
                that comes in pieces the guard judges the first 128 frames.

        Raises as `synthesize`; of what an iterable yields when it is reached.
        """
        if not isinstance(mel, (Tensor, np.ndarray, Admitted, Iterable)) or isinstance(mel, (str, bytes)):
            raise MelError(f"the mel must be a tensor, an array or an iterable of these, not {type(mel).__name__}")
        mode = self._guard if guard is None else guard_mode(guard)
        options |= {"adapt": adapt}
        if isinstance(mel, (Tensor, np.ndarray, Admitted)):
            admitted = self._admitted(mel, preset, adapt, mode)
            if len(admitted.shape) != 2:
                raise MelError(f"a stream takes one mel (n_mels, frames), not one of {len(admitted.shape)} dimensions")
            session = self.open_stream(**options, preset=admitted.path.source)
            return drained(session, [admitted], self._warn)
        beginning, mel = begun(mel) if preset == AUTO else (None, mel)
        source = self.path(preset, adapt, beginning).source
        return drained(self.open_stream(**options, preset=source, guard=mode), mel, self._warn)

    def _admitted(self, mel: Any, preset: Preset, adapt: AdaptMode, guard: GuardMode | None) -> Admitted:
        """Admit a mel, unless it is, and warn about it."""
        if isinstance(mel, Admitted):
            return mel
        admitted = self.admit(mel, preset, adapt, guard)
        for verdict in admitted.doubts:
            self._warn(verdict)
        return admitted

    def _warn(self, verdict: Verdict | None) -> None:
        """Warn about a mel that is not typical."""
        if verdict is not None and not verdict.typical:
            warnings.warn(MelWarning(verdict.message), stacklevel=4)
