"""`vocoder-train distill --student reverse`: fit a network to the inverse of a WaveGlow."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.loop.objective import Batch, Parts, Phases
from training.runs.recordings import SampleObjective, SampleRun, SampleWeights, noise_for
from training.start.inheritance import inherit_ends, load_role, started_from
from vocoder.config import ConfigError, NotNegative, NotNegativeInt, Rules, Share
from vocoder.correction.correction import Correction
from vocoder.layers.conditioning import normalised
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.models.reverse import Reverse, ReverseConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.stages import MEL, NOISE, Z, run


@dataclass(frozen=True)
class ReverseLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    recorded: NotNegative = 1.0
    """weight of the distance from recordings' coefficients, given the noise that the teacher assigns to them"""
    drawn: NotNegative = 0.5
    """weight of the distance from the teacher's samples, corrected `corrections` times"""
    corrections: NotNegativeInt = 30
    """corrections of the teacher's samples towards their mel before the student learns from them"""
    spectral: NotNegative = 2.25
    mel: NotNegative = 3.0
    corrected_share: Share = 0.5
    adversarial: NotNegative = 0.3
    features: NotNegative = 1.0
    samples_from: NotNegativeInt = 1500
    """step from which losses on samples are added to those on pairs"""
    critics_from: NotNegativeInt = 2500

    @property
    def paired(self) -> bool:
        """Whether there are losses on pairs, the only losses that need the teacher."""
        return bool(self.recorded or self.drawn)


@dataclass(frozen=True)
class ReverseRun(SampleRun):
    """The configuration of `vocoder-train distill --student reverse`."""

    teacher: str = "waveglow"
    """model directory or shipped name of the WaveGlow whose inverse is learnt; loaded only if needed"""
    model: ReverseConfig = field(default_factory=ReverseConfig)
    losses: ReverseLosses = field(default_factory=ReverseLosses)
    only_above_mel: bool = False
    """train only what the head outputs above the mel's highest frequency, so that nothing changes below it"""

    def _rules(self) -> Rules:
        yield from super()._rules()
        head = self.model.head
        if self.only_above_mel:
            able = head is not None and self.start_from is not None and self.trainer.weight_decay == 0
            yield able, "only_above_mel needs a start_from, a model with a head and a trainer.weight_decay of 0"
        if self.only_above_mel and head:
            above = head.mel.f_max < self.model.sample_rate / 2
            yield above, f"nothing is above the mel of {self.start_from}, which goes to {head.mel.f_max:g} Hz"

    def objective(self) -> "ReverseObjective":
        """Return the objective. Raises ConfigError unless the teacher is a WaveGlow over frames of this mel."""
        mel_config = load_mel_config(self.mel)
        student = started_from(self.start_from, Reverse, self.model, self.pitch_from)
        teacher: Any = load_role("teacher", self.teacher, mel_config).model if self.taught else None
        if teacher is not None and self.start_from is None:
            inherit_ends(student, teacher)
        objective = ReverseObjective(student, teacher, mel_config, self.losses)
        if self.only_above_mel:
            objective.trained = outputs_above_mel(student)
        return objective.with_critics_of(self.start_from, self.teacher if self.taught else None)

    @property
    def taught(self) -> bool:
        """Whether the teacher is needed: for pairs, or as the student's start."""
        return self.losses.paired or self.start_from is None


class ReverseObjective(SampleObjective):
    """Distances to pairs of the teacher, plus losses on samples before and after correction.

    There are two kinds of pairs (BiFlow, arXiv 2512.10953): recordings with the noise from the teacher's exact forward
    pass, and noise with the teacher's sample, corrected many times, so that the student needs few corrections itself.
    Above a recording's band edge, pairs have the teacher's own sample. Raises ConfigError for a teacher of other
    frames.
    """

    model: Reverse
    teacher: Any
    losses: ReverseLosses

    def __init__(self, model: Reverse, teacher: WaveGlow | None, mel_config: MelConfig, losses: ReverseLosses) -> None:
        frames = None if teacher is None or teacher.envelope is None else teacher.config.group_size
        if losses.paired and frames != model.config.hop_length:
            raise ConfigError("the teacher of a reverse student must be a WaveGlow over frames of hop_length samples")
        super().__init__(model, mel_config, losses, teacher if losses.paired else None)
        self.finished = Correction(mel_config, losses.corrections if losses.paired else 0)
        self.trained = tuple(model.parameters())

    def phases(self) -> Phases:
        """Return the updates of a training step in order."""
        return super().phases() | {"model": self.trained}

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss of the student at this step."""
        x, mel = self.segments(batch, self.losses.blur)
        parts = self.pitch_parts(mel, batch)
        if self.losses.paired:
            parts |= self._pair_parts(x, mel, batch)
        if step >= self.losses.samples_from:
            x_hat, target = self._sample(mel)
            parts |= self.sample_parts(x_hat, x, target, batch, step)
        return parts

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return a sample's distances, and that to recordings' coefficients; the score is the spectral distance."""
        x, mel = self.segments(batch)
        x_hat, target = self._sample(mel)
        distances = self.distances(x_hat, x, target, batch)
        if self.teacher is None:
            return distances
        full = self._filled(x, self.teacher.synthesize(mel), batch)
        return distances | {"recorded": self._distance(pairs_of(self.teacher, full, mel), mel)}

    def _pair_parts(self, x: Tensor, mel: Tensor, batch: Batch) -> Parts:
        """Return weight and value of each loss on pairs."""
        parts, teacher = Parts(), self.teacher
        with torch.no_grad():
            z = run(teacher.stages(), {MEL: mel, NOISE: noise_for(teacher, mel)}, Z).signal
            finished = self.finished(teacher.inverse(z, mel)[0], mel)
            drawn = z, _coefficients(teacher, finished, mel)
        if self.losses.recorded:
            recorded = pairs_of(teacher, self._filled(x, finished, batch), mel)
            parts["recorded"] = self.losses.recorded, self._distance(recorded, mel)
        if self.losses.drawn:
            parts["drawn"] = self.losses.drawn, self._distance(drawn, mel)
        return parts

    def _distance(self, pairs: tuple[Tensor, Tensor], mel: Tensor) -> Tensor:
        """Return the distance of the student's coefficients from those of pairs, in the teacher's units.

        It is squared up to two standard deviations and linear beyond, because what the teacher expects least, such as
        the first frame of a sound after silence, is many deviations off and would dominate.
        """
        x_hat = run(self.model.stages(), {MEL: mel, Z: pairs[0]}).signal[:, 0]
        return F.huber_loss(_coefficients(self.teacher, x_hat, mel), pairs[1], delta=2.0)

    @torch.no_grad()
    def _filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band, plus the noise of the teacher's training."""
        full = self.filled(x, expected, batch)
        return full + self.losses.noise * torch.randn_like(full)

    def _sample(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return an uncorrected sample (B, T), and the mel (B, n_mels, frames) to correct it to."""
        made = run(self.model.stages(), {MEL: mel, NOISE: noise_for(self.model, mel)})
        return made.signal[:, 0], made.signals[self.model.target]


def outputs_above_mel(model: Reverse) -> tuple[nn.Parameter, ...]:
    """Return the parameters of the head's outputs, whose gradients are from now on 0 up to the mel's highest frequency.

    The head then makes the same spectra as before up to that frequency.
    """
    head = model.head
    assert head is not None
    mel = head.config.mel
    above = (torch.arange(head.bins) * mel.sample_rate > mel.f_max * mel.n_fft).repeat(3)

    def masked(gradient: Tensor) -> Tensor:
        return gradient * above.to(gradient).view(-1, *[1] * (gradient.ndim - 1))

    trained = tuple(head.end.parameters())
    for parameter in trained:
        parameter.register_hook(masked)  # type: ignore[no-untyped-call]
    return trained


@torch.no_grad()
def pairs_of(teacher: WaveGlow, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
    """Return the noise that a WaveGlow maps audio x (B, T) to, and its coefficients, both (B, C, frames)."""
    coefficients = _coefficients(teacher, x, mel)
    return teacher(x, mel)[0], coefficients


def _coefficients(teacher: WaveGlow, x: Tensor, mel: Tensor) -> Tensor:
    """Return the coefficients (B, C, frames) of audio (B, T), in units of the teacher's expected envelope."""
    assert teacher.envelope is not None
    spectrum, _ = teacher.transform(x.unsqueeze(1))
    return teacher.envelope.forward(spectrum, normalised(mel))[0]
