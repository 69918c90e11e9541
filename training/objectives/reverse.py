"""The objective of a reverse student: pairs from a WaveGlow, then spectral and adversarial losses on samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.mel_store import conditioned
from training.data.mel_variation import varied
from training.distil.pairs import Pairs, pairs_of
from training.loop.objective import Batch, Objective, Phase
from training.losses.pitch import pitch_loss
from training.objectives.reverse_losses import ReverseLosses
from training.objectives.sample_losses import Parts, SampleLosses, critic_loss, critics_of, critics_phase
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.layers.mel_consistency import MelConsistency
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.models.reverse import Reverse
from vocoder.models.waveglow import WaveGlow

__all__ = ["ReverseObjective"]


class ReverseObjective(Objective):
    """Distances from pairs of the teacher, plus losses on samples, before and after their correction.

    Two kinds of pairs (BiFlow, arXiv 2512.10953): recordings with the noise that the teacher's exact forward pass gives
    them, and noise with the teacher's sample, corrected many times, so that the student needs few corrections itself.
    Hidden states are aligned with those of the teacher's inverse by a linear map for each block, which training alone
    needs. Batches are those of `SampleLosses`; pairs have the teacher's own sample above a recording's band. Mels that
    came with recordings stand for their own as what student and teacher hear; what losses compare is the recording.

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
        self.compared = SampleLosses(mel_config, student.config.corrections)
        self.finished = MelConsistency(mel_config, losses.corrections)
        size = student.config.hop_length
        self.views = nn.ModuleList(nn.Conv1d(student.config.channels, size, 1) for _ in student.blocks)
        dtype = torch.bfloat16 if losses.bfloat16 else torch.float32
        set_compute_dtype(student, dtype)
        set_compute_dtype(teacher, dtype)
        self.adversary = critics_of(losses, mel_config.sample_rate, dtype)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the student; the teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    @property
    def wants_pitch(self) -> bool:
        """Return whether batches need pitch labels: the student reads the pitch."""
        return True

    def phases(self) -> tuple[Phase, ...]:
        """Return the student's update, and that of the critics if there are any."""
        student = Phase("student", (*self.student.parameters(), *self.views.parameters()))
        return student, *critics_phase(self.adversary, self.losses)

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
        """Return the distance from recordings' coefficients, and those of a sample; the score is the spectral one."""
        x, mel = self.compared.segments(batch)
        pairs = pairs_of(self.teacher, self._full(x, mel, batch), mel)
        recorded = _distance(self.student.hidden_states(pairs.z, mel)[-1], pairs.states[-1])
        heard = self.compared.heard(self._sample(mel), x, mel, batch)
        return self.compared.distances(heard) | {"recorded": recorded}

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch and a sample from its mel."""
        x, mel = self.compared.segments({name: value[:1] for name, value in batch.items()})
        return {"recording": x[0], "sample": self.compared.consistency(self._sample(mel), mel)[0].detach()}

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
        mel = conditioned(varied(mel, losses.varied_mels, losses.variation), batch)  # predicted ones stay as they are
        parts["pitch"] = losses.pitch, pitch_loss(self.student.pitch, mel, batch["f0"])
        sampling = step >= losses.samples_from
        if losses.paired and (not sampling or step % losses.pairs_every == 0):
            share = losses.pairs_every if sampling else 1
            parts |= {
                name: (share * weight, value) for name, (weight, value) in self._pair_parts(x, mel, batch).items()
            }
        if sampling:
            heard = self.compared.heard(self._sample(mel), x, mel, batch, losses.sample_corrections)
            parts |= self.compared.parts(heard, losses, step, self.adversary)
        return parts

    def _pair_parts(self, x: Tensor, mel: Tensor, batch: Batch) -> Parts:
        """Return weight and value of each loss on pairs, both kinds in one pass of the student."""
        losses: ReverseLosses = self.losses
        parts: Parts = {}
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

    @torch.no_grad()
    def _full(self, x: Tensor, mel: Tensor, batch: Batch) -> Tensor:
        return self._filled(x, self.teacher.synthesize(mel), batch)

    def _filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band, and the noise of the teacher's density."""
        full = self.compared.filled(x, expected, batch)
        return full + self.losses.noise * torch.randn_like(full)

    def _sample(self, mel: Tensor) -> Tensor:
        """Return a sample (B, T), not corrected."""
        noise = torch.randn(self.student.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.student.sample(noise, mel)


def _distance(values: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean distance of coefficients: squared up to two standard deviations, and no steeper beyond.

    What the element-wise flow expects least, such as the first frame of a sound after silence, is many deviations off,
    and would lead the rest.
    """
    return F.huber_loss(values, wanted, delta=2.0)
