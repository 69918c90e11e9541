"""Weights that a model takes over from others before training: all of them, its pitch network, layers or flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.start.across import weights_across
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError, to_dict
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AffineCoupling
from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.layers.source.pitch import PitchNet
from vocoder.layers.stack import WaveNetStack
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow

_FREE = ("corrections", "sigma")
"""settings of a model that change no weight"""
Model = TypeVar("Model", bound=nn.Module)


def started_from(reference: str | None, kind: type[Model], architecture: Any, own_pitch: bool = False) -> Model:
    """Return a new model with the weights of the one in a directory or of a shipped name, if there is a reference.

    Raises:
        ConfigError: the reference is of another kind or architecture.
    """
    model = kind(architecture)
    if reference is None:
        return model
    given = _given(reference, kind)
    _refuse_differences(reference, given.config, architecture, (*_FREE, *(["source.pitch"] if own_pitch else [])))
    kept = {name: v for name, v in given.state_dict().items() if not (own_pitch and name.startswith("pitch."))}
    model.load_state_dict(kept, strict=not own_pitch)
    return model


def waveglow_of(role: str, reference: str, mel_config: MelConfig) -> WaveGlow:
    """Return the WaveGlow in a directory or of a shipped name.

    Raises:
        ConfigError: it is another kind of model, or takes other mels; the text names its `role` in the run.
    """
    checkpoint = load_model(model_directory(reference))
    if not isinstance(checkpoint.model, WaveGlow) or checkpoint.mel_config != mel_config:
        raise ConfigError(f"{role} must be a WaveGlow that takes mels of preset {mel_config.name!r}, not {reference}")
    return checkpoint.model


def _given(reference: str, kind: type[Model]) -> Model:
    given = load_model(model_directory(reference)).model
    if not isinstance(given, kind):
        raise ConfigError(f"start_from {reference} holds a {type(given).__name__}, not a {kind.__name__}")
    return given


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


def inherit_pitch(model: Student | Reverse | WaveGlow, given: PitchNet) -> None:
    """Copy a pitch network, of another model of the same mels or fitted by itself, to a model's own.

    Raises:
        ConfigError: the model has none, or they differ in shape.
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


@torch.no_grad()
def inherit_flows(student: Student, model: nn.Module) -> None:
    """Start a student over frames from the flows of a WaveGlow over the same frames, as far as it may look ahead.

    A WaveGlow on its way from noise to audio is a chain of the student's own steps, but for its view of later frames:
    taps to later frames are left out, the others keep what they have learnt, and nothing sees the frame before
    through the student's extra inputs yet. Where the WaveGlow has no such taps, the student becomes the same function.

    Raises:
        ConfigError: it is no WaveGlow over frames, or differs in size.
    """
    if not isinstance(model, WaveGlow) or model.envelope is None:
        raise ConfigError(f"flows are inherited from a WaveGlow with a lapped transform, not {type(model).__name__}")
    _check_alike(student, model)
    steps = zip(student.steps, student.mixing, reversed(model.couplings), reversed(model.convinv), strict=True)
    for step, mixing, coupling, conv in steps:
        assert isinstance(step, InverseAutoregressive)
        assert isinstance(mixing, InvertibleConv1x1)
        assert isinstance(coupling, AffineCoupling)
        assert isinstance(conv, InvertibleConv1x1)
        _inherit_stack(step.network, coupling.network.state_dict())
        mixing.weight.copy_(conv.inverse_matrix() / mixing.step_scale)
    for name in ("condition", "envelope", "pitch", "excitation"):
        own = getattr(student, name)
        if own is not None:
            own.load_state_dict(getattr(model, name).state_dict())


def inherit_ends(student: Reverse, model: WaveGlow) -> None:
    """Start a reverse student with what stands before and after the flows of a WaveGlow: condition, prior, envelope.

    Raises:
        ConfigError: the WaveGlow has no such parts, or they differ in shape.
    """
    parts: dict[str, nn.Module | None] = {"condition": model.condition, "excitation": model.excitation}
    if student.head is None:
        parts["envelope"] = model.envelope
    for name, given in parts.items():
        own = getattr(student, name)
        if given is None or _shapes(own) != _shapes(given):
            raise ConfigError(f"the {name} of this WaveGlow does not fit the student: choose the same sizes")
        own.load_state_dict(given.state_dict())


@torch.no_grad()
def inherit_trunk(student: Reverse, reference: str, pitch: bool = True) -> None:
    """Start a reverse student with the weights of another, which may look further ahead or end in another head.

    Where a block looks fewer frames ahead than the other's, its taps move and those to later frames are left out.
    Weights that see bands or bins are moved where the mels differ (`weights_across`).

    Raises:
        ConfigError: the reference holds another kind of model, or one of other sizes.
    """
    given = _given(reference, Reverse)
    across = given.head is not None and student.head is not None and given.head.config.mel != student.head.config.mel
    free = [*_FREE, "ahead", *([] if pitch else ["source.pitch"]), *(["head"] if given.head is None else [])]
    free += ["n_mels", "sample_rate", "head.mel"] if across else []
    _refuse_differences(reference, given.config, student.config, tuple(free))
    state = weights_across(student, given) if across else given.state_dict()
    for i, (ours, theirs) in enumerate(zip(student.config.block_ahead, given.config.block_ahead, strict=True)):
        taps = state[f"blocks.{i}.depthwise.weight"]
        state[f"blocks.{i}.depthwise.weight"] = F.pad(taps, (theirs - ours, ours - theirs))
    new = ("head.",) if student.head is not None and given.head is None else ()
    new = new if pitch else (*new, "pitch.")
    kept = {name: state[name] for name in student.state_dict() if not name.startswith(new)}
    student.load_state_dict(kept, strict=False)


def _check_alike(student: Student, model: WaveGlow) -> None:
    ours, theirs = student.config, model.config
    wanted = {
        "kind": "frames",
        "scaled_shift": True,
        "group_size": theirs.group_size,
        "n_mels": theirs.n_mels,
        "cond_channels": theirs.cond_channels,
        "log_s_bound": theirs.log_s_bound,
        "source": theirs.source,
        "stacks": (replace(theirs.stack, causal=True),) * theirs.flows,
    }
    for name, value in wanted.items():
        if getattr(ours, name) != value:
            raise ConfigError(f"to inherit the flows of this WaveGlow, model.{name} must be {value}")


def _inherit_stack(own: WaveNetStack, given: dict[str, Tensor]) -> None:
    """Copy a centred stack into a causal one that also sees the frame before, and turn its affine step around."""
    state = own.state_dict()
    for name, value in given.items():
        if name.startswith("in_layers") and name.endswith("weight"):
            taps = value.shape[3] // 2 + 1  # the present and the past
            state[name].zero_()[:, :, :, -taps:].copy_(value[:, :, :, :taps])
        elif name == "start.weight":
            state[name].zero_()[:, -value.shape[1] :].copy_(value)
        else:
            state[name].copy_(-value if name.startswith("end.") else value)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}
