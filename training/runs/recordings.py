"""What a batch holds: recordings, the mels to make them from, and how far up each recording reaches."""

from __future__ import annotations

from torch import Tensor, nn

from training.data.mel_store import conditioned
from training.loop.objective import Batch
from training.losses.band_limit import band_limited, filled, is_whole
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram


class Recordings(nn.Module):
    """Cut batches into recordings and mels.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft // 2 samples of context for the mel. It may hold
    `band` (B,), the edge in Hz above which a recording is empty, and `mel` with `has_mel`, for recordings that came
    with mels (`conditioned`).
    """

    def __init__(self, mel_config: MelConfig) -> None:
        super().__init__()
        self.mel_config = mel_config
        self.margin = mel_config.n_fft // 2
        self.mel = MelSpectrogram(mel_config, precise=False)

    def audio(self, batch: Batch) -> Tensor:
        """Return the audio (B, T) without its margins."""
        return batch["x"][:, self.margin : -self.margin]

    def own_mel(self, batch: Batch) -> Tensor:
        """Return the mel (B, n_mels, T / hop_length) of the recordings."""
        frames = (batch["x"].shape[1] - 2 * self.margin) // self.mel_config.hop_length
        return self.mel.frame(batch["x"])[:, :, :frames]

    def segments(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) and the mel (B, n_mels, T / hop_length) to make it from."""
        return self.audio(batch), conditioned(self.own_mel(batch), batch)

    def limited(self, batch: Batch) -> bool:
        """Return whether some recording ends below half of the sample rate."""
        return "band" in batch and not is_whole(batch["band"], self.mel_config.sample_rate)

    def seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Return audio (B, T) as far up as the recordings of the batch reach."""
        return band_limited(x, batch.get("band"), self.mel_config.sample_rate)

    def filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band."""
        return filled(x, expected, batch.get("band"), self.mel_config.sample_rate)
