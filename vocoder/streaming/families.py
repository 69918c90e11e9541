"""How the models of each family stream."""

from __future__ import annotations

from torch import nn

from vocoder.models.published_student import PublishedStudent
from vocoder.models.published_wavenet import PublishedWaveNet
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet
from vocoder.streaming.published import published_student_stages, published_wavenet_stages
from vocoder.streaming.stage import Stage
from vocoder.streaming.student import student_stages
from vocoder.streaming.waveglow import waveglow_stages
from vocoder.streaming.wavenet import wavenet_stages

__all__ = ["stages_of"]


def stages_of(model: nn.Module, sigma: float | None) -> list[Stage]:
    """Return the stages from mel and noise to audio (B, 1, T), fresh: some of them remember.

    Raises:
        TypeError: the model belongs to no known family.
        ValueError: the model has no mel.
    """
    if isinstance(model, WaveGlow):
        return waveglow_stages(model, sigma)
    if isinstance(model, Student):
        return student_stages(model, sigma)
    if isinstance(model, WaveNet):
        return wavenet_stages(model, sigma)
    if isinstance(model, PublishedWaveNet):
        return published_wavenet_stages(model, sigma)
    if isinstance(model, PublishedStudent):
        return published_student_stages(model, sigma)
    raise TypeError(f"{type(model).__name__} is no model that streams")
