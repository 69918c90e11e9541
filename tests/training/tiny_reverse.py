"""A tiny reverse model with its objective and the tiny WaveGlow as its teacher."""

import dataclasses

from tiny_models import reverse_config
from tiny_waveglow import JOINING, LAPPED, MEL
from tiny_waveglow import perturbed as perturbed_waveglow

from training.runs.reverse import ReverseLosses, ReverseObjective
from training.start.inheritance import inherit_ends
from vocoder.models.reverse import Reverse

CONFIG = reverse_config(n_mels=8, hop_length=16, source=LAPPED.source)
LOSSES = ReverseLosses(corrections=2, periodicity=8.0, **JOINING)


def objective(**losses):
    teacher = perturbed_waveglow().model
    student = Reverse(CONFIG)
    inherit_ends(student, teacher)
    return ReverseObjective(student, teacher, MEL, dataclasses.replace(LOSSES, **losses))
