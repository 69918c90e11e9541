"""Weights that a model takes over from others before training: all of them, its pitch network or layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.start.across import weights_across
from vocoder.checkpoint import Checkpoint, load_model
from vocoder.config import ConfigError, to_dict
from vocoder.layers.conditioning import PitchConfig, PitchNet
from vocoder.layers.product import FrameConv
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import plain
from vocoder.models.families import FAMILIES, Families, Family
from vocoder.models.reverse import FrameBlock, Reverse
from vocoder.models.waveglow import WaveGlow

_FREE = ("corrections", "sigma")
"""settings of a model that change no weight"""
Model = TypeVar("Model", bound=nn.Module)


def started_from(reference: str | None, kind: type[Model], architecture: Any, pitch_from: str | None = None) -> Model:
    """Return a new model with the weights of the one in a directory or of a shipped name, if there is a reference.

    Its pitch network is that of `pitch_from`, if there is one. Raises ConfigError if one does not fit.
    """
    model = kind(architecture)
    if reference is not None:
        inherit(model, reference, own_pitch=pitch_from is not None)
    if pitch_from is not None:
        inherit_pitch(model, load_pitch(pitch_from))
    return model


@torch.no_grad()
def inherit(model: Any, reference: str, own_pitch: bool = False) -> None:
    """Give a model the weights of another of its kind, but for the pitch network if it has its `own_pitch`.

    A reverse student may end in another head than the other, and look more or fewer frames ahead: the taps of its
    convolutions move, and those to frames that it does not see are left out. Weights that see bands or bins are moved
    where the mels differ (`weights_across`). Raises ConfigError if the reference holds another kind of model, or
    another architecture.
    """
    given: Any = load_model(model_directory(reference)).model
    if not isinstance(given, type(model)):
        raise ConfigError(f"start_from {reference} holds a {type(given).__name__}, not a {type(model).__name__}")
    free, new, state = [*_FREE], ["-"], given.state_dict()
    if own_pitch:
        free, new = [*free, "source.pitch"], [*new, "pitch."]
    if isinstance(model, Reverse):
        free = [*free, "ahead", "condition_ahead", "source.pitch.ahead", *(["head"] if given.head is None else [])]
        new += ["head."] if model.head is not None and given.head is None else []
        across = model.head is not None and given.head is not None and model.head.config.mel != given.head.config.mel
        free += ["n_mels", "sample_rate", "head.mel"] if across else []
    _refuse_differences(reference, given.config, model.config, tuple(free))
    if isinstance(model, Reverse):
        state = _moved(weights_across(model, given) if across else state, model, given)
    kept = {name: state[name] for name in model.state_dict() if not name.startswith(tuple(new))}
    model.load_state_dict(kept, strict=False)


def _moved(state: Mapping[str, Tensor], model: nn.Module, given: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a given model with the taps of its convolutions moved to the frames that a model sees."""
    moved, theirs = dict(state), dict(_frames_ahead(given))
    for name, ahead in _frames_ahead(model):
        if name in theirs:
            moved[name] = F.pad(moved[name], (theirs[name] - ahead, ahead - theirs[name]))
    return moved


def _frames_ahead(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Yield the name of the weight of each convolution over frames, and how many frames ahead it sees."""
    for name, module in model.named_modules():
        if isinstance(module, FrameConv):
            yield f"{name}.weight", module.sides[1]
        elif isinstance(module, FrameBlock):
            yield f"{name}.depthwise.weight", module.after


def helper(role: str, reference: str, mel_config: MelConfig, kind: type[nn.Module] | None = WaveGlow) -> Checkpoint:
    """Return the model in a directory or of a shipped name that helps to train another, as its `role` in the run says.

    Raises ConfigError if it is of another kind, or takes other mels; where any kind will do, statistics may differ.
    """
    found = load_model(model_directory(reference))
    name, theirs = ("model", plain(found.mel_config)) if kind is None else (kind.__name__, found.mel_config)
    if not isinstance(found.model, kind or nn.Module) or theirs != mel_config:
        raise ConfigError(f"{role} must be a {name} that takes mels of preset {mel_config.name!r}, not {reference}")
    return found


def _refuse_differences(reference: str, given: Any, own: Any, free: tuple[str, ...]) -> None:
    """Refuse a start whose weights would mean something else here; settings `free`, and those within, may differ."""
    theirs, ours = _flat(to_dict(given)), _flat(to_dict(own))
    may_differ = tuple(f"{name}." for name in free)
    names = [n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n) and not f"{n}.".startswith(may_differ)]
    if names:
        differences = ", ".join(f"model.{name} is {theirs.get(name)} there, {ours.get(name)} here" for name in names)
        raise ConfigError(f"start_from {reference} holds another architecture: {differences}")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their names with dots."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def inherit_pitch(model: Any, given: PitchNet) -> None:
    """Copy a pitch network, of another model of the same mels or fitted by itself, to a model's own.

    Raises ConfigError if the model has none, or they differ in shape.
    """
    own = model.pitch
    if own is None:
        raise ConfigError(f"the {type(model).__name__} has no harmonic source, so there is no pitch network to replace")
    if own.config != given.config or _shapes(own) != _shapes(given):
        raise ConfigError(
            f"the two pitch networks differ in their configuration or in the bands of their mels: model.source.pitch "
            f"must be {to_dict(given.config)}, not {to_dict(own.config)}"
        )
    own.load_state_dict(given.state_dict())


def inherit_ends(student: Reverse, model: WaveGlow) -> None:
    """Start a reverse student with what stands before and after the flows of a WaveGlow: condition, prior, envelope.

    Raises ConfigError if the WaveGlow has no such parts, or they differ in shape.
    """
    parts: dict[str, nn.Module | None] = {"condition": model.condition, "excitation": model.excitation}
    if student.head is None:
        parts["envelope"] = model.envelope
    for name, given in parts.items():
        own = getattr(student, name)
        if given is None or _shapes(own) != _shapes(given):
            raise ConfigError(f"the {name} of this WaveGlow does not fit the student: choose the same sizes")
        own.load_state_dict(_moved(given.state_dict(), own, given))


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


@dataclass(frozen=True)
class PitchModelConfig:
    """Shape of a pitch network, and the frames that it reads."""

    n_mels: int = 80
    hop_length: int = 256
    sample_rate: int = 22050
    pitch: PitchConfig = field(default_factory=PitchConfig)


class PitchModel(nn.Module):
    """A pitch network that is no part of a vocoder, where a vocoder has its own."""

    def __init__(self, config: PitchModelConfig) -> None:
        super().__init__()
        self.config = config
        self.pitch = PitchNet(config.n_mels, config.pitch)


WITH_PITCH: Families = MappingProxyType({**FAMILIES, "pitch": Family(PitchModelConfig, PitchModel)})
"""all families, and that of pitch networks"""


def load_pitch(reference: str) -> PitchNet:
    """Return the pitch network of a model, by its directory or shipped name; it may be nothing but such a network.

    Raises ConfigError if it has none, CheckpointError if there is no such model.
    """
    given = getattr(load_model(model_directory(reference), families=WITH_PITCH).model, "pitch", None)
    if not isinstance(given, PitchNet):
        raise ConfigError(f"{reference} holds no pitch network")
    return given
