"""The objective of a student: its density against its teacher's, and losses on its samples."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from training.distil.envelope import fit_envelope
from training.distil.recogniser import Recogniser, feature_distance, style_distance
from training.loop.objective import Batch, Objective, Phase
from training.losses.kl import Divergence, Teacher, contrastive, divergence, exchanged
from training.losses.pitch import pitch_loss
from training.losses.spectral import PowerLoss
from training.objectives.distillation_losses import DistillationLosses
from training.objectives.sample_losses import Heard, Parts, SampleLosses, critic_loss, critics_of, critics_phase
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.models.student import Draw, Student

__all__ = ["DistillationObjective"]

DEMONSTRATION_FRAMES = 64
"""mel frames that the teacher speaks in a demonstration: sample by sample, it takes its time"""


class DistillationObjective(Objective):
    """KL(student || teacher) in nats per sample, plus losses on the same samples of the student.

    The teacher and the recogniser are frozen and in eval mode. Batches are those of `SampleLosses`. Mels that came with
    recordings stand for their own as what both models hear; losses on samples compare them with the recording.

    Args:
        student: what is learnt.
        teacher: an autoregressive model with `conditionals` and `distribution`; part of the module and its checkpoints.
        mel_config: the mel contract of both.
        losses: their weights.
        recogniser: for the perceptual and the style loss.

    Raises:
        ConfigError: the teacher has no conditionals, or a loss lacks what it needs.
    """

    def __init__(
        self,
        student: Student,
        teacher: nn.Module,
        mel_config: MelConfig,
        losses: DistillationLosses,
        recogniser: Recogniser | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(teacher, Teacher):
            raise ConfigError(f"{type(teacher).__name__} cannot teach: it has no conditionals")
        if losses.recognises and recogniser is None:
            raise ConfigError("the perceptual and the style loss need a recogniser")
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        self.recogniser = recogniser.requires_grad_(False).eval() if recogniser and losses.recognises else None
        self.mel_config = mel_config
        self.losses = losses
        self.compared = SampleLosses(mel_config, student.config.corrections)
        self.power = PowerLoss()
        dtype = torch.bfloat16 if losses.bfloat16 else torch.float32
        set_compute_dtype(student, dtype)
        set_compute_dtype(teacher, dtype)
        self.adversary = critics_of(losses, mel_config.sample_rate, dtype)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the student; teacher and recogniser stay in eval mode."""
        super().train(mode)
        self.teacher.eval()
        if self.recogniser is not None:
            self.recogniser.eval()
        return self

    @property
    def wants_pitch(self) -> bool:
        """Return whether batches need pitch labels: the student has a harmonic source."""
        return self.student.pitch is not None

    def phases(self) -> tuple[Phase, ...]:
        """Return the student's update, and that of the critics if there are any."""
        return Phase("student", tuple(self.student.parameters())), *critics_phase(self.adversary, self.losses)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return self.compared.count(batch)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Give the student's last flow the envelope that the mel implies."""

        def pairs() -> Iterable[tuple[Tensor, Tensor]]:
            for batch in batches:
                x, mel = self.compared.segments(batch)
                yield x + self.losses.noise * torch.randn_like(x), mel

        fit_envelope(self.student, pairs())

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss of one update and its parts."""
        if phase == "critic":
            return critic_loss(self.adversary, self.losses, step)
        x, mel = self.compared.segments(batch)
        draw = self._draw(mel)
        items = self.losses.teacher_items or len(mel)
        weight = self.losses.teacher_weight(step)
        total, parts = self._teacher_losses(draw.first(items), mel[:items], weight)
        heard = self.compared.heard(draw.x, x, mel, batch, self.losses.sample_corrections)
        audio = self.compared.parts(heard, self.losses, step, self.adversary) | self._recognised(heard)
        for name, (weight, value) in audio.items():
            total, parts[name] = total + weight * value, value
        if self.student.pitch is not None:
            parts["pitch"] = pitch_loss(self.student.pitch, mel, batch["f0"])
            total = total + self.losses.pitch * parts["pitch"]
        return total, {name: value.detach() for name, value in parts.items()}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the divergence and its parts, and the distances of a sample; the score is the spectral one."""
        x, mel = self.compared.segments(batch)
        draw = self._draw(mel)
        _, parts = self._teacher_losses(draw, mel, 1.0)
        return parts | self.compared.distances(self.compared.heard(draw.x, x, mel, batch))

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch, the student's sample, and the beginning as the teacher speaks it."""
        x, mel = self.compared.segments({name: value[:1] for name, value in batch.items()})
        sounds = {"recording": x[0], "student": self.compared.correction(self._draw(mel).x, mel)[0].detach()}
        synthesize = getattr(self.teacher, "synthesize", None)
        return sounds if synthesize is None else sounds | {"teacher": synthesize(mel[:, :, :DEMONSTRATION_FRAMES])[0]}

    def averaged(self) -> Student:
        """Return the student."""
        return self.student

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the student's model directory, which works without the teacher, and the critics beside the weights."""
        save_model(directory, self.student, self.mel_config, provenance=provenance)
        if self.adversary is not None:
            self.adversary.save(directory)

    def _draw(self, mel: Tensor) -> Draw:
        noise = torch.randn(self.student.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.student.draw(noise, mel)

    def _teacher_losses(self, draw: Draw, mel: Tensor, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        losses = self.losses
        if losses.kl == 0:
            return draw.x.new_zeros(()), {}
        own = self._divergence(draw, mel)
        total = own.kl.mean() + losses.regulariser * own.regulariser.mean()
        log_volume = draw.entropy / draw.x.shape[1] - self.student.base.entropy
        parts = {
            "kl": own.kl.mean(),
            "entropy": own.entropy.mean(),
            "cross_entropy": own.cross_entropy.mean(),
            "sigma_tot": torch.exp(log_volume.mean()),
        }
        if losses.regulariser:
            parts["regulariser"] = own.regulariser.mean()
        if losses.contrastive and len(mel) > 1:
            parts["contrastive"] = contrastive(self._divergence(draw, exchanged(mel)).kl, losses.contrastive_bound)
            total = total + losses.contrastive * parts["contrastive"]
        return weight * total, parts

    def _divergence(self, draw: Draw, mel: Tensor) -> Divergence:
        teacher, losses = self.teacher, self.losses
        assert isinstance(teacher, Teacher)
        return divergence(
            draw,
            teacher.conditionals(draw.x, mel),
            teacher.distribution,
            self.student.base,
            losses.estimator,
            direction=losses.direction,
            draws=losses.draws,
            draws_at_once=losses.draws_at_once,
            log_s_floor=losses.log_s_floor,
        )

    def _recognised(self, heard: Heard) -> Parts:
        """Return weight and value of the losses on power and on a recogniser's features, of those that are on."""
        losses: DistillationLosses = self.losses
        parts: Parts = {}
        if losses.power:
            parts["power"] = losses.power, self.power(heard.corrected, heard.x)
        if self.recogniser is not None:
            generated = self.recogniser.features(heard.corrected)
            with torch.no_grad():
                recorded = self.recogniser.features(heard.x)
            parts["perceptual"] = losses.perceptual, feature_distance(generated, recorded)
            parts["style"] = losses.style, style_distance(generated, recorded)
        return parts
