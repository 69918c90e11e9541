"""Initialises a model with the weights of others: all of them, its pitch network, or single layers."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.start.across import weights_across
from vocoder.checkpoint import Checkpoint, load_model
from vocoder.config import ConfigError, to_dict
from vocoder.layers.conditioning import PitchNet
from vocoder.layers.frame_block import FrameBlock
from vocoder.layers.product import FrameConv
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import plain
from vocoder.models.reverse import Reverse
from vocoder.models.waveglow import WaveGlow

Model = TypeVar("Model", bound=nn.Module)


def started_from(reference: str | None, kind: type[Model], architecture: Any, pitch_from: str | None = None) -> Model:
    """Return a new model, with the weights of the model in a directory or of a shipped name if `reference` is given.

    Its pitch network is that of `pitch_from`, if given. Raises ConfigError if one of them does not fit.
    """
    model = kind(architecture)
    if reference is not None:
        inherit(model, reference, own_pitch=pitch_from is not None)
    if pitch_from is not None:
        inherit_pitch(model, load_pitch(pitch_from))
    return model


@torch.no_grad()
def inherit(model: Any, reference: str, own_pitch: bool = False) -> None:
    """Copy the weights of a reference model of the same kind, except the pitch network if `own_pitch`.

    A reverse student may have another head than the reference and another lookahead: the taps of its convolutions are
    shifted, and those beyond its lookahead dropped. If the mels differ, weights on bands or bins are converted
    (`weights_across`). Raises ConfigError if the reference is another kind of model or has another architecture.
    """
    given: Any = load_model(model_directory(reference)).model
    if not isinstance(given, type(model)):
        raise ConfigError(f"start_from {reference} is a {type(given).__name__}, not a {type(model).__name__}")
    across, free, new = False, {"corrections.", "sigma."}, set[str]()
    if own_pitch:
        free, new = free | {"source.pitch."}, {"pitch."}
    if isinstance(model, Reverse):
        free |= {"ahead.", "condition_ahead.", "source.pitch.ahead."}
        if given.head is None:
            free, new = free | {"head."}, new | {"head."}
        elif model.head is not None and model.head.config.mel != given.head.config.mel:
            across, free = True, free | {"n_mels.", "sample_rate.", "head.mel."}
    theirs, ours = _flat(to_dict(given.config)), _flat(to_dict(model.config))
    differ = [n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n) and not f"{n}.".startswith(tuple(free))]
    if differ:
        differences = ", ".join(f"model.{name} is {theirs.get(name)} there, {ours.get(name)} here" for name in differ)
        raise ConfigError(f"start_from {reference} has another architecture: {differences}")
    state = _shifted(weights_across(model, given) if across else given.state_dict(), model, given)
    kept = {name: state[name] for name in model.state_dict() if not name.startswith(tuple(new))}
    model.load_state_dict(kept, strict=False)


def _shifted(state: Mapping[str, Tensor], model: nn.Module, given: nn.Module) -> dict[str, Tensor]:
    """Return the given model's weights with the taps of its convolutions shifted to the frames that a model sees."""
    shifted, theirs = dict(state), dict(_frames_ahead(given))
    for name, ahead in _frames_ahead(model):
        if name in theirs:
            shifted[name] = F.pad(shifted[name], (theirs[name] - ahead, ahead - theirs[name]))
    return shifted


def _frames_ahead(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Yield the weight's name and the lookahead in frames of each convolution over frames."""
    for name, module in model.named_modules():
        if isinstance(module, FrameConv):
            yield f"{name}.weight", module.sides[1]
        elif isinstance(module, FrameBlock):
            yield f"{name}.depthwise.weight", module.after


def load_role(role: str, reference: str, mel_config: MelConfig, kind: type[nn.Module] | None = WaveGlow) -> Checkpoint:
    """Load the model in a directory or of a shipped name that has a `role`, such as teacher, in training another.

    Raises ConfigError if it is of another kind or takes other mels. If `kind` is None, their statistics may differ.
    """
    found = load_model(model_directory(reference))
    name, theirs = ("model", plain(found.mel_config)) if kind is None else (kind.__name__, found.mel_config)
    if not isinstance(found.model, kind or nn.Module) or theirs != mel_config:
        raise ConfigError(f"{role} must be a {name} that takes mels of preset {mel_config.name!r}, not {reference}")
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def inherit_pitch(model: Any, given: PitchNet) -> None:
    """Copy the weights of a pitch network, from a model of the same mels, into a model's own.

    Raises ConfigError if the model has none, or the shapes differ.
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
    """Initialise a reverse student with the layers around a WaveGlow's flows: condition, prior and envelope.

    Raises ConfigError if the WaveGlow has no such layers, or the shapes differ.
    """
    for name in ("condition", "excitation", *(["envelope"] if student.head is None else [])):
        own, given = getattr(student, name), getattr(model, name)
        if given is None or _shapes(own) != _shapes(given):
            raise ConfigError(f"the {name} of this WaveGlow does not fit the student: use the same sizes")
        own.load_state_dict(_shifted(given.state_dict(), own, given))


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


def load_pitch(reference: str) -> PitchNet:
    """Return the pitch network of a model, given by directory or shipped name.

    Raises ConfigError if it has none, CheckpointError if there is no such model.
    """
    given = getattr(load_model(model_directory(reference)).model, "pitch", None)
    if not isinstance(given, PitchNet):
        raise ConfigError(f"{reference} has no pitch network")
    return given
