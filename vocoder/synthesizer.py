"""The one way from a mel to a waveform: load a model, synthesize, stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from vocoder.checkpoint import Checkpoint
from vocoder.config import to_dict
from vocoder.denoiser import Denoiser
from vocoder.layers.mel_consistency import MelConsistency
from vocoder.layers.wavenet import set_compute_dtype
from vocoder.mel_config import MelConfig
from vocoder.models.speaker import SequentialSpeaker, Speaker
from vocoder.noise import white_noise

__all__ = ["MelError", "Synthesizer"]


class MelError(ValueError):
    """A mel does not fit the model's contract."""


class Synthesizer:
    """A model ready to speak.

    Args:
        checkpoint: the model and what its directory says.
        name: how it is called.
        device: where it runs.
        dtype: of the convolution stacks; bfloat16 or float32. Everything else stays in float32.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, device: str | torch.device, dtype: torch.dtype) -> None:
        if not isinstance(checkpoint.model, Speaker):
            raise TypeError(f"{checkpoint.family} models cannot synthesize")
        self.name = name
        self.family = checkpoint.family
        self.mel_config: MelConfig = checkpoint.mel_config
        self.provenance: Mapping[str, Any] = checkpoint.provenance
        self.quality: Mapping[str, Any] = checkpoint.quality
        self.device = torch.device(device)
        self.dtype = dtype
        self.model = checkpoint.model.to(self.device).eval().requires_grad_(False)
        set_compute_dtype(self.model, dtype)
        self._consistency = MelConsistency(self.mel_config, self.model.config.consistency_steps).to(self.device)
        self._denoiser: Denoiser | None = None

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
        return {
            "name": self.name,
            "family": self.family,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "sigma": self.model.config.sigma,
            "mel": to_dict(self.mel_config),
            "architecture": to_dict(self.model.config),
            "provenance": dict(self.provenance),
            "quality": dict(self.quality),
        }

    @overload
    def synthesize(
        self, mel: Tensor, *, sigma: float | None = None, seed: int | None = None, denoise: float = 0.0
    ) -> Tensor: ...
    @overload
    def synthesize(
        self, mel: np.ndarray, *, sigma: float | None = None, seed: int | None = None, denoise: float = 0.0
    ) -> np.ndarray: ...
    @torch.no_grad()
    def synthesize(self, mel: Any, *, sigma: float | None = None, seed: int | None = None, denoise: float = 0.0) -> Any:
        """Turn a mel into a waveform.

        Args:
            mel: (n_mels, frames) or (B, n_mels, frames), tensor or array, as `mel_config` says.
            sigma: sampling temperature, 0 or more; the model's default if left out.
            seed: of the noise; item i of a batch uses seed + i. Random if left out.
            denoise: strength of the bias removal, 0 for none.

        Returns:
            x (frames * hop_length,) or (B, frames * hop_length), of the kind that `mel` was: float32, and for a
            tensor on the mel's device.

        Raises:
            MelError: the mel is not finite or has the wrong shape.
            ValueError: sigma, seed or denoise is out of range.
        """
        batch = self._checked(mel)
        _check_sampling(sigma, denoise)
        x = self.decode(self.prior(batch, sigma, _seeds(seed, batch.shape[0])), batch)
        if denoise > 0:
            x = self._bias().remove(x, denoise)
        x = x[0] if mel.ndim == 2 else x
        return x.to(mel.device) if isinstance(mel, Tensor) else x.cpu().numpy()

    def stream(
        self, mel: Any, *, sigma: float | None = None, seed: int | None = None, chunk_frames: int = 128
    ) -> Iterator[Any]:
        """Yield the waveform of one utterance in chunks whose concatenation is that of `synthesize`.

        Each chunk is computed with as much context on both sides as the architecture sees, and the context is cut
        off again, so that there is no seam.

        Args:
            mel: (n_mels, frames), tensor or array.
            sigma: as in `synthesize`.
            seed: as in `synthesize`.
            chunk_frames: frames of a chunk; the last may be shorter.

        Raises:
            MelError, ValueError: as in `synthesize`.
        """
        batch = self._checked(mel)
        if mel.ndim != 2:
            raise MelError(f"a stream takes one mel (n_mels, frames), not one of {mel.ndim} dimensions")
        if chunk_frames < 1:
            raise ValueError(f"chunk_frames must be at least 1, not {chunk_frames}")
        _check_sampling(sigma, 0.0)
        chunks = self._chunks(batch, sigma, _seeds(seed, 1), chunk_frames)
        return (x.to(mel.device) if isinstance(mel, Tensor) else x.cpu().numpy() for x in chunks)

    @torch.no_grad()
    def _chunks(self, batch: Tensor, sigma: float | None, seeds: list[int], chunk_frames: int) -> Iterator[Tensor]:
        z = self.prior(batch, sigma, seeds)
        if isinstance(self.model, SequentialSpeaker):
            yield from self._sequential_chunks(self.model.chunks(z, batch, chunk_frames), batch)
            return
        frames, context = batch.shape[2], self.model.context + self._consistency.context
        steps = z.shape[2] // frames
        for start in range(0, frames, chunk_frames):
            end = min(start + chunk_frames, frames)
            first, last = max(start - context, 0), min(end + context, frames)
            x = self.decode(z[:, :, first * steps : last * steps], batch[:, :, first:last])
            yield x[0, (start - first) * self.hop_length : (end - first) * self.hop_length]

    def _sequential_chunks(self, pieces: Iterator[Tensor], batch: Tensor) -> Iterator[Tensor]:
        """Correct audio that arrives from first to last, as far as enough of it is there."""
        frames, context, start = batch.shape[2], self._consistency.context, 0
        made = batch.new_zeros(1, 0)
        for piece in pieces:
            made = torch.cat([made, piece], dim=1)
            ready = made.shape[1] // self.hop_length
            end = frames if ready == frames else ready - context
            if end > start:
                first, last = max(start - context, 0), min(end + context, frames)
                x = made[:, first * self.hop_length : last * self.hop_length]
                x = self._consistency(x, batch[:, :, first:last])
                yield x[0, (start - first) * self.hop_length : (end - first) * self.hop_length]
                start = end

    def prior(self, mel: Tensor, sigma: float | None, seeds: list[int]) -> Tensor:
        """Return the z (B, C, steps) to decode, drawn from the seeds, one for each mel of the batch."""
        _, channels, steps = self.model.noise_shape(1, mel.shape[2])
        per_frame = steps // mel.shape[2]
        noise = torch.stack([white_noise(seed, 0, mel.shape[2], channels, per_frame) for seed in seeds])
        return self.model.prior(noise.to(self.device), mel, sigma)

    def decode(self, z: Tensor, mel: Tensor) -> Tensor:
        """Return x (B, T) for z (B, C, steps) and mel (B, n_mels, frames)."""
        x, _ = self.model.inverse(z, mel)
        corrected: Tensor = self._consistency(x, mel)
        return corrected

    def _bias(self) -> Denoiser:
        if self._denoiser is None:
            self._denoiser = Denoiser(self)
        return self._denoiser

    def _checked(self, mel: Any) -> Tensor:
        if not isinstance(mel, (Tensor, np.ndarray)):
            raise MelError(f"the mel must be a torch tensor or a numpy array, not {type(mel).__name__}")
        n_mels = self.mel_config.n_mels
        if mel.ndim not in (2, 3) or mel.shape[-2] != n_mels or 0 in mel.shape:
            hint = "; it looks transposed" if mel.ndim in (2, 3) and mel.shape[-1] == n_mels else ""
            raise MelError(f"the mel must be ({n_mels}, frames) or (B, {n_mels}, frames), not {tuple(mel.shape)}{hint}")
        batch = _real(mel).to(device=self.device, dtype=torch.float32)
        batch = batch.unsqueeze(0) if batch.ndim == 2 else batch
        if not bool(torch.isfinite(batch).all()):
            raise MelError("the mel holds values that are not finite (NaN or infinity)")
        return batch


def _real(mel: Tensor | np.ndarray) -> Tensor:
    """Return a mel as a tensor; an array is copied, since it may be read-only, reversed or of another byte order."""
    if mel.is_complex() if isinstance(mel, Tensor) else mel.dtype.kind not in "fiu":
        raise MelError(f"the mel must hold real numbers, not {mel.dtype}")
    return mel if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, dtype=np.float32, order="C"))


def _check_sampling(sigma: float | None, denoise: float) -> None:
    if sigma is not None and not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma must be 0 or more, not {sigma}")
    if not 0 <= denoise < float("inf"):
        raise ValueError(f"denoise must be 0 or more, not {denoise}")


def _seeds(seed: int | None, count: int) -> list[int]:
    if seed is None:
        return [int(value) for value in torch.randint(0, 2**31, (count,))]
    return [seed + i for i in range(count)]
