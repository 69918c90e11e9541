"""Turn mels into waveforms: whole, batched in rows, or as a stream."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vocoder.adapt.path import MelPath
from vocoder.admission import Admitted, StreamAdmission, admit, check, check_single, path_of
from vocoder.audio.writing import Origin
from vocoder.checkpoint import Checkpoint, CheckpointError
from vocoder.config import check_options, to_dict
from vocoder.guard.verdict import Verdict
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.mel.config import MelConfig, MelWarning
from vocoder.mel.config_file import AUTO
from vocoder.mel.values import MelError
from vocoder.models.base import Vocoder
from vocoder.sampling import SAMPLING_FIELDS, AdaptMode, Device, GuardMode, Preset, Sampling, Utterance, guard_mode
from vocoder.stages import torch_defaults
from vocoder.synthesis.runner import Runner
from vocoder.synthesis.stream import ChunkSizes, StreamSession, read_start, stream_audio

Mel = TypeVar("Mel", Tensor, np.ndarray)

OPTIONS = (*SAMPLING_FIELDS, "guard", "preset", "adapt")  # options of whole and streamed synthesis


class Synthesizer:
    """A model ready to synthesize.

    Args:
        checkpoint: the model and the contents of its directory.
        name: the model's name.
        device: the device it runs on.
        dtype: precision of most products: bfloat16, float32, or int8 for some models. All else stays in float32.
        guard: default mode for mels that are not typical of their mel config.
    """

    @torch_defaults()
    def __init__(
        self, checkpoint: Checkpoint, name: str, device: Device, dtype: torch.dtype, guard: GuardMode = "warn"
    ) -> None:
        if not isinstance(checkpoint.model, Vocoder):
            raise CheckpointError(f"{name} holds a {checkpoint.family}, which cannot synthesize")
        self.name, self.family = name, checkpoint.family
        self.mel_config: MelConfig = checkpoint.mel_config
        self.sample_rate, self.hop_length = self.mel_config.sample_rate, self.mel_config.hop_length
        """sample rate of the waveform in Hz, and samples per mel frame"""
        self.provenance: Mapping[str, Any] = checkpoint.provenance
        self.quality, self.weights_sha256 = checkpoint.quality, checkpoint.weights_sha256
        self.device, self.dtype = torch.device(device), dtype
        self.model = checkpoint.model.to(self.device).eval().requires_grad_(False)
        self.corrections = self.model.config.corrections
        """default number of corrections of the audio towards its mel"""
        set_compute_dtype(self.model, dtype)
        self._runner = Runner(self.model, self.mel_config, self.device)
        self.lookahead = self._runner.pipeline(Sampling(), [0]).lookahead
        """number of later frames that a stream needs before it can synthesize a frame, with the default corrections"""
        self._guard = guard_mode(guard)

    def __repr__(self) -> str:
        info, mel = self.info(), self.mel_config
        size = f"{info['parameters'] / 1e6:.1f} million parameters"
        mels = f"{mel.name!r} mels with {mel.n_mels} bands at {mel.sample_rate} Hz"
        return f"<Synthesizer {self.name!r}: {self.family}, {size}, {mels}, {info['dtype']} on {self.device}>"

    def origin(self, seed: int | None = None) -> Origin:
        """Return the origin that `write_audio` stores: model, of a path its last part, precision and seed."""
        name = Path(self.name).resolve().name if Path(self.name).is_dir() else self.name
        return Origin(name, seed=Sampling(seed=seed).seed, dtype=str(self.dtype).removeprefix("torch."))

    def info(self) -> dict[str, Any]:
        """Describe the model as plain data: family, size, mel config, look-ahead, provenance and quality."""
        config = self.model.config
        return {
            "name": self.name,
            "family": self.family,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "sigma": config.sigma,
            "corrections": config.corrections,
            "lookahead_frames": self.lookahead,
            "lookahead_ms": round(1000 * self.lookahead * self.hop_length / self.sample_rate),
            "mel": to_dict(self.mel_config),
            "architecture": to_dict(config),
            "provenance": dict(self.provenance),
            "quality": dict(self.quality),
            "weights_sha256": self.weights_sha256,
        }

    def path(self, preset: Preset = None, adapt: AdaptMode = "on", mel: Any = None) -> MelPath:
        """Return the conversion from another mel config to the model's: exact if possible, else through an adapter.

        The arguments are those of `synthesize`; the mel is needed only if the preset is "auto".

        Raises:
            MelMismatchError: there is no conversion.
            UnsureError: the preset is "auto" and the mel's preset could not be recognised.
            ConfigError: the mel config does not exist or is invalid.
        """
        return path_of(preset, self.mel_config, adapt, mel)

    def check(self, mel: Tensor | np.ndarray, preset: Preset = None, adapt: AdaptMode = "on") -> Verdict:
        """Judge how typical a mel (n_mels, frames) is of its mel config, and if it is not, what it looks like.

        Raises the errors of `path`, and a ValueError if the mel is not two-dimensional or not finite, or if no guard
        knows its mel config.
        """
        return check(mel, self.path(preset, adapt, mel))

    def admit(
        self, mel: Any, preset: Preset = None, adapt: AdaptMode = "on", guard: GuardMode | None = None
    ) -> Admitted:
        """Check and convert a mel as `synthesize` does; every method that takes mels accepts the result."""
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
            mel: tensor or array (n_mels, frames) or (B, n_mels, frames), computed as `preset` or `mel_config` says.
            sigma: sampling temperature, 0 or more. Default: the model's own.
            seed: seed of the noise; item i of a batch uses seed + i. Default: random.
            denoise: strength of the bias removal, 0 to 1.
            corrections: number of corrections of the audio towards its mel; fewer are faster. Default: the model's own.
            sharpen: how far to raise the mel's contrast above 1 kHz, 0 to 1. By default as far as the mel lacks the
                texture of recordings, as predicted mels do; mels of recordings stay as they are.
            guard: what to do with a mel that is not typical of its mel config: "warn" synthesizes it and issues a
                `MelWarning`, "strict" refuses it, "off" does not check. Default: the mode given to `load`.
            preset: the mel's config if it is not the model's own: a preset's name, a file or a `MelConfig`; "auto"
                recognises it. The mel is converted exactly if possible, else through an adapter.
            adapt: "off" refuses mels that need an adapter.

        Returns:
            x (frames * hop_length,) or (B, frames * hop_length), float32: an array for an array, a tensor on the mel's
            device for a tensor. If `preset` has another frame rate, x has the duration of the given frames.

        Raises:
            MelError: the mel is not finite, or its shape or values are impossible in its mel config.
            MelMismatchError: there is no conversion from `preset` to the model's mel config.
            UnlikelyMelError: the mel is not typical of its mel config, and guard is "strict".
            ValueError: sigma, seed, denoise, corrections, sharpen or guard is out of range.
        """
        sampling = Sampling(sigma=sigma, seed=seed, denoise=denoise, corrections=corrections, sharpen=sharpen)
        admitted = self._admitted(mel, preset, adapt, guard)
        x = self._runner.whole(admitted.mel, sampling, sampling.seeds(len(admitted.mel)))
        return admitted.returned(x)  # type: ignore[no-any-return]

    def synthesize_many(self, utterances: Sequence[Any]) -> list[Any]:
        """Turn mels of different lengths into waveforms in one run; each equals the output of `synthesize`.

        `utterances` are mels (n_mels, frames), or an `Utterance` for each that has options of its own. The guard does
        not check them. Returns x (frames * hop_length,) for each, an array or tensor as its mel. Raises the errors of
        `synthesize`.
        """
        utterances = [each if isinstance(each, Utterance) else Utterance(mel=each) for each in utterances]
        admitted = [self._admitted(each.mel, each.preset, each.adapt, "off") for each in utterances]
        if any(one.given.ndim != 2 for one in admitted):
            raise MelError("an utterance must be one mel (n_mels, frames), not a batch")
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
        """Open a stream for an utterance whose mel arrives in pieces.

        Takes the arguments of `synthesize` (`sampling`: sigma, seed, denoise, corrections and sharpen) and:
            guard: the mode of `StreamSession.judge`; by default it does nothing.
            chunk_frames: frames per chunk; the last may be shorter. By default up to 128, or up to 1024 if that much of
                the mel is there; 64 for autoregressive models.
            first_chunk_frames: frames of the first chunk, by default a few; later chunks grow.

        Raises a ValueError if an argument is out of range, and a TypeError if it is unknown.
        """
        check_options(sampling, (*OPTIONS, "chunk_frames", "first_chunk_frames"))
        chosen = Sampling(**sampling)
        admission = StreamAdmission(self.path(preset, adapt), guard_mode(guard), self.device)
        pipeline = self._runner.pipeline(chosen, chosen.seeds(1))
        sizes = ChunkSizes(self.model, chunk_frames, first_chunk_frames)
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
        """Yield the waveform of one utterance in chunks; concatenated they equal the output of `synthesize`.

        Takes the arguments of `synthesize` and `open_stream`, and:
            mel: tensor or array (n_mels, frames), or an iterable of frames (n_mels,) and pieces (n_mels, frames). An
                iterable is read as late as possible: audio is yielded as soon as the frames it depends on are there.
                The guard judges the first 128 frames of an iterable.

        Raises the errors of `synthesize`; for an iterable, when it reaches the frames in question.
        """
        if not isinstance(mel, (Tensor, np.ndarray, Admitted, Iterable)) or isinstance(mel, (str, bytes)):
            raise MelError(f"the mel must be a tensor, an array or an iterable of them, not {type(mel).__name__}")
        mode = self._guard if guard is None else guard_mode(guard)
        options |= {"adapt": adapt}
        if isinstance(mel, (Tensor, np.ndarray, Admitted)):
            check_single(mel.given.ndim if isinstance(mel, Admitted) else mel.ndim)
            admitted = self._admitted(mel, preset, adapt, mode)
            session = self.open_stream(**options, preset=admitted.path.source)
            return stream_audio(session, [admitted], self._warn)
        beginning, mel = read_start(mel) if preset == AUTO else (None, mel)
        source = self.path(preset, adapt, beginning).source
        return stream_audio(self.open_stream(**options, preset=source, guard=mode), mel, self._warn)

    def _admitted(self, mel: Any, preset: Preset, adapt: AdaptMode, guard: GuardMode | None) -> Admitted:
        """Admit a mel, unless it already is admitted, and issue the guard's warnings."""
        if isinstance(mel, Admitted):
            return mel
        admitted = self.admit(mel, preset, adapt, guard)
        for verdict in admitted.doubts:
            self._warn(verdict)
        return admitted

    def _warn(self, verdict: Verdict | None) -> None:
        """Issue a warning if the mel is not typical."""
        if verdict is not None and not verdict.typical:
            warnings.warn(MelWarning(verdict.message), stacklevel=4)
