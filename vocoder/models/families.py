"""The families of models that a checkpoint can hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from vocoder.models.adapter import AdapterConfig, AdapterModel
from vocoder.models.guard import GuardConfig, GuardModel
from vocoder.models.reverse import Reverse, ReverseConfig
from vocoder.models.student import Student, StudentConfig
from vocoder.models.waveglow import WaveGlow, WaveGlowConfig
from vocoder.models.wavenet import PublishedWaveNetConfig, WaveNet, WaveNetModelConfig


@dataclass(frozen=True)
class Family:
    """A kind of model: its configuration and how to build it."""

    config: type[Any]
    build: Callable[[Any], nn.Module]
    integers: bool = False  # whether most of its products may be of 8-bit integers


Families = Mapping[str, Family]  # families by name
FAMILIES: Families = {
    "waveglow": Family(WaveGlowConfig, WaveGlow),
    "wavenet": Family(WaveNetModelConfig, WaveNet),
    "student": Family(StudentConfig, Student),
    "reverse": Family(ReverseConfig, Reverse, integers=True),
    "published-wavenet": Family(PublishedWaveNetConfig, WaveNet),
    "guard": Family(GuardConfig, GuardModel),
    "adapter": Family(AdapterConfig, AdapterModel),
}
"""all families of this package"""


def family_of(model: nn.Module, known: Families = FAMILIES) -> str:
    """Return the name of a model's family; raises a TypeError if it belongs to none."""
    config = getattr(model, "config", None)
    for name, family in known.items():
        if type(config) is family.config:
            return name
    raise TypeError(f"{type(model).__name__} is not a model of a known family: {', '.join(known)}")
