"""The objective of a reverse student: pairs from a WaveGlow, then spectral and adversarial losses on samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.critics.adversary import Adversary
from training.data.mel_variation import varied
from training.distil.pairs import Pairs, pairs_of
from training.loop.objective import Batch, Objective, Phase
from training.losses.band_limit import band_limited, filled
from training.losses.pitch import labels_of_frames, pitch_loss
from training.losses.spectral import MultiResolutionSTFT
from training.objectives.reverse_losses import ReverseLosses
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.layers.mel_consistency import MelConsistency
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.reverse import Reverse
from vocoder.models.waveglow import WaveGlow

__all__ = ["ReverseObjective"]


class ReverseObjective(Objective):
    """Distances from pairs of the teacher, plus losses on samples, before and after their correction.

    Two kinds of pairs (BiFlow, arXiv 2512.10953): recordings with the noise that the teacher's exact forward pass gives
    them, and noise with the teacher's sample, corrected many times, so that the student needs few corrections itself.
    Hidden states are aligned with those of the teacher's inverse by a linear map for each block, which training alone
    needs. A batch holds `x` (B, margin + T + margin) with margin = n_fft / 2, and `band` (B,), the edge in Hz above
    which a recording has nothing: losses look no higher, and pairs have the teacher's own sample there.

    Args:
        student: what is learnt.
        teacher: a WaveGlow over the same frames; frozen.
        mel_config: the mel contract of both.
        losses: their weights.

    Raises:
        ConfigError: the teacher works on other frames.
    """

    def __init__(self, student: Reverse, teacher: WaveGlow, mel_config: MelConfig, losses: ReverseLosses) -> None:
        super().__init__()
        if teacher.envelope is None or teacher.config.group_size != student.config.hop_length:
            raise ConfigError("the teacher of a reverse student is a WaveGlow over frames of hop_length samples")
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        self.mel_config, self.losses = mel_config, losses
        self.mel = MelSpectrogram(mel_config, precise=False)
        self.consistency = MelConsistency(mel_config, student.config.corrections)
        self.finished = MelConsistency(mel_config, losses.corrections)
        self.stft = MultiResolutionSTFT()
        size = student.config.hop_length
        self.views = nn.ModuleList(nn.Conv1d(student.config.channels, size, 1) for _ in student.blocks)
        dtype = torch.bfloat16 if losses.bfloat16 else torch.float32
        set_compute_dtype(student, dtype)
        set_compute_dtype(teacher, dtype)
        self.adversary = Adversary(losses.critics, mel_config.sample_rate, dtype) if losses.adversarial else None

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the student; the teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def phases(self) -> tuple[Phase, ...]:
        """Return the student's update, and that of the critics if there are any."""
        student = Phase("student", (*self.student.parameters(), *self.views.parameters()))
        if self.adversary is None:
            return (student,)
        return student, Phase("critic", tuple(self.adversary.parameters()), self.losses.critic_rate)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return batch["x"].shape[0] * (batch["x"].shape[1] - 2 * (self.mel_config.n_fft // 2))

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss of one update and its parts."""
        if phase == "critic":
            if self.adversary is None or step < self.losses.critics_from:
                return None
            loss = self.adversary.loss()
            return loss, {"critic": loss.detach()}
        total, parts = batch["x"].new_zeros(()), {}
        for name, (weight, value) in self._parts(batch, step).items():
            total, parts[name] = total + weight * value, value.detach()
        return total, parts

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the distance from recordings' coefficients, and those of a sample; the score is the spectral one."""
        x, mel = self._split(batch)
        pairs = pairs_of(self.teacher, self._full(x, mel, batch), mel)
        recorded = _distance(self.student.hidden_states(pairs.z, mel)[-1], pairs.states[-1])
        x_hat = self._sample(mel)
        uncorrected, corrected, x = (self._seen(audio, batch) for audio in (x_hat, self.consistency(x_hat, mel), x))
        distance = self.stft(corrected, x)
        distances = {"spectral": distance, "mel": self._mel_distance(corrected, x), "recorded": recorded}
        return distances | {"uncorrected": self.stft(uncorrected, x), "score": distance}

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch and a sample from its mel."""
        x, mel = self._split({name: value[:1] for name, value in batch.items()})
        return {"recording": x[0], "sample": self.consistency(self._sample(mel), mel)[0].detach()}

    def averaged(self) -> Reverse:
        """Return the student."""
        return self.student

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the student's model directory, which works without the teacher, and the critics beside the weights."""
        save_model(directory, self.student, self.mel_config, provenance=provenance)
        if self.adversary is not None:
            self.adversary.save(directory)

    def _parts(self, batch: Batch, step: int) -> dict[str, tuple[float, Tensor]]:
        """Return weight and value of each loss of the student at this step."""
        losses, parts = self.losses, {}
        x, mel = self._split(batch)
        mel = varied(mel, losses.varied_mels, losses.variation)
        labels = labels_of_frames(batch["x"], mel.shape[2], self.student.pitch.config, self.mel_config)
        parts["pitch"] = losses.pitch, pitch_loss(self.student.pitch, mel, labels)
        sampling = step >= losses.samples_from
        if not sampling or step % losses.pairs_every == 0:
            share = losses.pairs_every if sampling else 1
            parts |= {
                name: (share * weight, value) for name, (weight, value) in self._pair_parts(x, mel, batch).items()
            }
        if sampling:
            parts |= self._sample_parts(self._sample(mel), x, mel, batch, step)
        return parts

    def _pair_parts(self, x: Tensor, mel: Tensor, batch: Batch) -> dict[str, tuple[float, Tensor]]:
        """Return weight and value of each loss on pairs, both kinds in one pass of the student."""
        losses, parts = self.losses, {}
        drawn, finished = self._drawn(mel)
        recorded = pairs_of(self.teacher, self._filled(x, finished, batch), mel)
        z, both = torch.cat([recorded.z, drawn.z]), torch.cat([mel, mel])
        *hidden, coefficients = self.student.hidden_states(z, both)
        first, second = coefficients.chunk(2)
        if losses.recorded:
            parts["recorded"] = losses.recorded, _distance(first, recorded.states[-1])
        if losses.drawn:
            parts["drawn"] = losses.drawn, _distance(second, drawn.states[-1])
        if losses.aligned:
            parts["aligned"] = losses.aligned, self._alignment([state.chunk(2)[0] for state in hidden], recorded)
        return parts

    @torch.no_grad()
    def _drawn(self, mel: Tensor) -> tuple[Pairs, Tensor]:
        """Return noise with the coefficients of the teacher's sample, corrected many times; and that sample (B, T)."""
        teacher = self.teacher
        assert teacher.envelope is not None
        noise = torch.randn(teacher.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        z = teacher.prior(noise, mel)
        x = self.finished(teacher.inverse(z, mel)[0], mel)
        spectrum, _ = teacher.transform(x.unsqueeze(1))
        coefficients, _ = teacher.envelope(spectrum, teacher.envelope_condition(mel))
        return Pairs(z, (coefficients,)), x

    def _alignment(self, hidden: list[Tensor], pairs: Pairs) -> Tensor:
        """Return the mean distance of each block's view from the state at the same part of the way."""
        count, total = len(hidden), hidden[0].new_zeros(())
        for i, (state, view) in enumerate(zip(hidden, self.views, strict=True)):
            total = total + _distance(view(state), pairs.states[(i + 1) * len(pairs.states) // count - 1])
        return total / count

    def _sample_parts(
        self, x_hat: Tensor, x: Tensor, mel: Tensor, batch: Batch, step: int
    ) -> dict[str, tuple[float, Tensor]]:
        """Return weight and value of each loss on a sample x_hat (B, T) of the mel of x (B, T)."""
        losses, share = self.losses, self.losses.uncorrected
        corrected, x = self._seen(self.consistency(x_hat, mel), batch), self._seen(x, batch)
        parts = {
            "spectral": (losses.spectral, self.stft(corrected, x)),
            "mel": (losses.mel, self._mel_distance(corrected, x)),
        }
        if share:
            seen = self._seen(x_hat, batch)
            parts["uncorrected_spectral"] = share * losses.spectral, self.stft(seen, x)
            parts["uncorrected_mel"] = share * losses.mel, self._mel_distance(seen, x)
        if self.adversary is not None and step >= losses.critics_from:
            adversarial, features = self.adversary.judge(corrected, x)
            parts["adversarial"] = losses.adversarial, adversarial
            parts["features"] = losses.features, features
        return parts

    @torch.no_grad()
    def _full(self, x: Tensor, mel: Tensor, batch: Batch) -> Tensor:
        return self._filled(x, self.teacher.synthesize(mel), batch)

    def _filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band, and the noise of the teacher's density."""
        full = filled(x, expected, batch.get("band"), self.mel_config.sample_rate)
        return full + self.losses.noise * torch.randn_like(full)

    def _sample(self, mel: Tensor) -> Tensor:
        """Return a sample (B, T), not corrected."""
        noise = torch.randn(self.student.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.student.sample(noise, mel)

    def _seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Return audio (B, T) as far up as the recordings of the batch reach."""
        return band_limited(x, batch.get("band"), self.mel_config.sample_rate)

    def _mel_distance(self, x_hat: Tensor, x: Tensor) -> Tensor:
        distance: Tensor = (self.mel(x_hat) - self.mel(x)).abs()
        return distance.mean()

    def _split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) without its margins, and its mel (B, n_mels, T / hop_length)."""
        margin = self.mel_config.n_fft // 2
        x = batch["x"][:, margin:-margin]
        return x, self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.mel_config.hop_length]


def _distance(values: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean distance of coefficients: squared up to two standard deviations, and no steeper beyond.

    What the element-wise flow expects least, such as the first frame of a sound after silence, is many deviations off,
    and would lead the rest.
    """
    return F.huber_loss(values, wanted, delta=2.0)
