"""The objective of a reverse student: pairs from a WaveGlow, then spectral and adversarial losses on samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.mel_store import conditioned
from training.data.mel_variation import blurred
from training.distil.pairs import Pairs, pairs_of
from training.loop.objective import Batch, Objective, Phase
from training.losses.pitch import pitch_loss
from training.objectives.reverse_losses import ReverseLosses
from training.objectives.sample_losses import Parts, SampleLosses, critic_loss, critics_of, critics_phase
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.correction.correction import Correction
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.models.reverse import Reverse
from vocoder.models.waveglow import WaveGlow
from vocoder.stages import MEL, NOISE, Z, run

__all__ = ["ReverseObjective"]


class ReverseObjective(Objective):
    """Distances from pairs of the teacher, plus losses on samples, before and after their correction.

    Two kinds of pairs (BiFlow, arXiv 2512.10953): recordings with the noise that the teacher's exact forward pass gives
    them, and noise with the teacher's sample, corrected many times, so that the student needs few corrections itself.
    Batches are those of `SampleLosses`; pairs have the teacher's own sample above a recording's band. Mels that
    came with recordings stand for their own as what student and teacher hear; what losses compare is the recording.

    Args:
        student: what is learnt.
        teacher: a WaveGlow over the same frames, frozen; None where nothing is learnt from pairs.
        mel_config: the mel contract of both.
        losses: their weights.

    Raises:
        ConfigError: the teacher works on other frames.
    """

    def __init__(
        self, student: Reverse, teacher: WaveGlow | None, mel_config: MelConfig, losses: ReverseLosses
    ) -> None:
        super().__init__()
        if losses.paired and (teacher is None or not _over_frames_of(teacher, student.config.hop_length)):
            raise ConfigError("the teacher of a reverse student is a WaveGlow over frames of hop_length samples")
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval() if teacher is not None and losses.paired else None
        self.mel_config, self.losses = mel_config, losses
        self.compared = SampleLosses(mel_config, student.config.corrections)
        self.finished = Correction(mel_config, losses.corrections)
        dtype = torch.bfloat16 if losses.bfloat16 else torch.float32
        for model in (student, self.teacher):
            if model is not None:
                set_compute_dtype(model, dtype)
        self.adversary = critics_of(losses, mel_config.sample_rate, dtype)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the student; the teacher stays in eval mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    @property
    def wants_pitch(self) -> bool:
        """Return whether batches need pitch labels: the student reads the pitch."""
        return True

    def phases(self) -> tuple[Phase, ...]:
        """Return the student's update, and that of the critics if there are any."""
        return Phase("student", tuple(self.student.parameters())), *critics_phase(self.adversary, self.losses)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return self.compared.count(batch)

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss of one update and its parts."""
        if phase == "critic":
            return critic_loss(self.adversary, self.losses, step)
        total, parts = batch["x"].new_zeros(()), {}
        for name, (weight, value) in self._parts(batch, step).items():
            total, parts[name] = total + weight * value, value.detach()
        return total, parts

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the distances of a sample, and from the coefficients of recordings; the score is the spectral one."""
        x, mel = self.compared.segments(batch)
        x_hat, target = self._sample(mel)
        distances = self.compared.distances(self.compared.heard(x_hat, x, target, batch))
        if self.teacher is None:
            return distances
        full = self._filled(x, self.teacher.synthesize(mel), batch)
        recorded = pairs_of(self.teacher, full, mel)
        return distances | {"recorded": self._distance(recorded, mel)}

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch and a sample from its mel."""
        x, mel = self.compared.segments({name: value[:1] for name, value in batch.items()})
        return {"recording": x[0], "sample": self.compared.correction(*self._sample(mel))[0].detach()}

    def averaged(self) -> Reverse:
        """Return the student."""
        return self.student

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the student's model directory, which works without the teacher, and the critics beside the weights."""
        save_model(directory, self.student, self.mel_config, provenance=provenance)
        if self.adversary is not None:
            self.adversary.save(directory)

    def _parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss of the student at this step."""
        losses: ReverseLosses = self.losses
        parts: Parts = {}
        x, mel = self.compared.segments(batch)
        mel = conditioned(blurred(mel, losses.blur), batch)  # predicted ones stay as they are
        parts["pitch"] = losses.pitch, pitch_loss(self.student.pitch, mel, batch["f0"])
        sampling = step >= losses.samples_from
        if losses.paired and (not sampling or step % losses.pairs_every == 0):
            share = losses.pairs_every if sampling else 1
            parts |= {
                name: (share * weight, value) for name, (weight, value) in self._pair_parts(x, mel, batch).items()
            }
        if sampling:
            x_hat, target = self._sample(mel)
            heard = self.compared.heard(x_hat, x, target, batch, losses.sample_corrections)
            parts |= self.compared.parts(heard, losses, step, self.adversary)
        return parts

    def _pair_parts(self, x: Tensor, mel: Tensor, batch: Batch) -> Parts:
        """Return weight and value of each loss on pairs."""
        losses: ReverseLosses = self.losses
        assert self.teacher is not None
        parts: Parts = {}
        drawn, finished = self._drawn(self.teacher, mel)
        if losses.recorded:
            recorded = pairs_of(self.teacher, self._filled(x, finished, batch), mel)
            parts["recorded"] = losses.recorded, self._distance(recorded, mel)
        if losses.drawn:
            parts["drawn"] = losses.drawn, self._distance(drawn, mel)
        return parts

    @torch.no_grad()
    def _drawn(self, teacher: WaveGlow, mel: Tensor) -> tuple[Pairs, Tensor]:
        """Return noise with the coefficients of the teacher's sample, corrected many times; and that sample (B, T)."""
        noise = torch.randn(teacher.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        z = teacher.prior(noise, mel)
        x = self.finished(teacher.inverse(z, mel)[0], mel)
        return Pairs(z, (_coefficients(teacher, x, mel),)), x

    def _distance(self, pairs: Pairs, mel: Tensor) -> Tensor:
        """Return how far the student's coefficients are from those of pairs, in the teacher's units.

        Squared up to two standard deviations, and no steeper beyond: what the teacher expects least, such as the first
        frame of a sound after silence, is many deviations off, and would lead the rest.
        """
        assert self.teacher is not None
        x_hat = run(self.student.stages(), {MEL: mel, Z: pairs.z}).signal[:, 0]
        return F.huber_loss(_coefficients(self.teacher, x_hat, mel), pairs.states[-1], delta=2.0)

    @torch.no_grad()
    def _filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band, and the noise of the teacher's density."""
        full = self.compared.filled(x, expected, batch)
        return full + self.losses.noise * torch.randn_like(full)

    def _sample(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return a sample (B, T), not corrected, and the mel (B, n_mels, frames) to correct it to."""
        noise = torch.randn(self.student.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        made = run(self.student.stages(), {MEL: mel, NOISE: noise})
        return made.signal[:, 0], made.signals[self.student.target]


def _over_frames_of(teacher: WaveGlow, hop_length: int) -> bool:
    return teacher.envelope is not None and teacher.config.group_size == hop_length


def _coefficients(teacher: WaveGlow, x: Tensor, mel: Tensor) -> Tensor:
    """Return the coefficients (B, C, frames) of audio (B, T), in units of what the teacher's envelope expects."""
    assert teacher.envelope is not None
    spectrum, _ = teacher.transform(x.unsqueeze(1))
    coefficients: Tensor = teacher.envelope(spectrum, teacher.envelope_condition(mel))[0]
    return coefficients
