"""Import NVIDIA's WaveGlow in its present layout, in older ones, and from derivatives that share them.

Layers used to be split: `res_layers` and `skip_layers` until November 2018, `cond_layers` until August 2019, and to
this day in NVIDIA's DeepLearningExamples. The module glow_old.py also computes differently; files that name it are
refused.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocoder.checkpoint import CheckpointError
from vocoder.importers.weights import Imported, Weights, count, mel_config_of, setting
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import MelConfig, preset
from vocoder.models.waveglow import WaveGlow, WaveGlowConfig, published

LAYOUT = "nvidia-waveglow"
OLDEST_MODULE = "glow_old"
STRIDE = 256  # of the upsampling; the published code ignores its configuration
MEL_NAMES = {"sample_rate": "sampling_rate", "n_fft": "filter_length", "win_length": "win_length", "f_min": "mel_fmin"}


def import_waveglow(weights: Weights, settings: Mapping[str, Any] | None, _: Path | None) -> Imported:
    """Build a checkpoint's WaveGlow, its sizes from the tensors; raises a CheckpointError if there is none."""
    if OLDEST_MODULE in (weights.module or "").split("."):
        raise CheckpointError(f"a module of {OLDEST_MODULE}.py cannot be imported: its odd flows swap the halves")
    split = weights.module is None and any(".cond_layers." in name for name in weights.tensors)
    tensors = _merged(dict(weights.tensors))
    stride = weights.settings.get("upsample.stride", (STRIDE,))
    if not isinstance(stride, tuple) or len(stride) != 1:
        raise CheckpointError(f"the module's upsample.stride must be one number in a tuple, not {stride!r}")
    config = _architecture(tensors, int(stride[0]))
    mel_config = _mel(setting(settings, "data_config", {}), config)
    config = dataclasses.replace(config, sample_rate=mel_config.sample_rate)
    with torch.device("meta"):  # takes no memory, however large the tensors
        named = _named(WaveGlow(config))
    _check_shapes(tensors, {theirs: shape for theirs, (_, shape) in named.items()})
    for i, dilation in enumerate(config.stack.dilations):  # the tensors do not show it, but a pickled module does
        own = weights.settings.get(f"WN.0.in_layers.{i}.dilation", (dilation,))
        if own != (dilation,):
            raise CheckpointError(f"layer {i} has dilation {own}; only {(dilation,)}, 2^{i}, is supported")
    model = WaveGlow(config)
    ours = model.state_dict()
    model.load_state_dict({name: tensors[theirs].reshape(ours[name].shape) for theirs, (name, _) in named.items()})
    notes = (f"the flows are assumed to be those of glow.py, not {OLDEST_MODULE}.py",) if split else ()
    return Imported(model, mel_config, notes)


def _merged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fuse split residual and skip layers, and the condition layers of each flow."""
    for flow in range(count(tensors, "WN.")):
        prefix = f"WN.{flow}."
        layers = count(tensors, f"{prefix}in_layers.")
        for end in ("weight", "bias"):
            conds = [f"{prefix}cond_layers.{i}.{end}" for i in range(layers)]
            if conds and f"{prefix}cond_layer.{end}" not in tensors and all(name in tensors for name in conds):
                tensors[f"{prefix}cond_layer.{end}"] = torch.cat([tensors.pop(name) for name in conds])
            for i in range(layers):
                skip, residual = f"{prefix}skip_layers.{i}.{end}", f"{prefix}res_layers.{i}.{end}"
                parts = [residual, skip] if i < layers - 1 else [skip]
                if all(name in tensors for name in parts):
                    tensors[f"{prefix}res_skip_layers.{i}.{end}"] = torch.cat([tensors.pop(name) for name in parts])
    return tensors


def _architecture(tensors: Mapping[str, Tensor], stride: int) -> WaveGlowConfig:
    """Return the configuration that the shapes of the tensors imply."""
    flows = count(tensors, "convinv.")
    sizes = [_shape(tensors, f"convinv.{k}.conv.weight")[0] for k in range(flows)]
    if not sizes or "upsample.weight" not in tensors:
        raise CheckpointError(f"these are not weights of the layout {LAYOUT}: there is no convinv.0 or no upsample")
    n_mels, _, kernel = _shape(tensors, "upsample.weight")
    drops = [k for k in range(1, flows) if sizes[k] != sizes[k - 1]]
    channels, _, taps = _shape(tensors, "WN.0.in_layers.0.weight")
    layers = count(tensors, "WN.0.in_layers.")
    return dataclasses.replace(
        published(),
        n_mels=n_mels,
        hop_length=stride,
        group_size=sizes[0],
        flows=flows,
        early_every=drops[0] if drops else 0,
        early_size=sizes[drops[0] - 1] - sizes[drops[0]] if drops else 2,
        cond_channels=n_mels * sizes[0],
        upsample_kernel=kernel,
        stack=WaveNetConfig(channels // 2, tuple(2**i for i in range(layers)), taps),
    )


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim != 3:
        raise CheckpointError(f"these are not weights of the layout {LAYOUT}: {name} is missing or has a wrong shape")
    return tuple(tensors[name].shape)


def _named(model: WaveGlow) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Map each tensor of the layout, without weight norm and split layers, to our name and the original's shape."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, value in model.state_dict().items():
        head, _, rest = name.partition(".")
        if head == "condition":
            found[rest] = name, tuple(value.shape)
        elif head == "convinv":
            found[f"{name.removesuffix('weight')}conv.weight"] = name, (*value.shape, 1)
        else:  # couplings.0.network.start.weight, of a convolution in two dimensions
            flow, _, layer = rest.partition(".network.")
            found[f"WN.{flow}.{layer}"] = name, tuple(value.shape[:2] + value.shape[3:])
    return found


def _mel(data: Mapping[str, Any], architecture: WaveGlowConfig) -> MelConfig:
    base, hop_length = preset("nvidia"), architecture.hop_length
    if (configured := setting(data, "hop_length", hop_length)) != hop_length:
        found = f"the model generates {hop_length} samples per frame"
        raise CheckpointError(f"hop_length is {configured} in the configuration, but {found}")
    f_max = 0.0 if "mel_fmax" in data and data["mel_fmax"] is None else setting(data, "mel_fmax", base.f_max)
    f_max = f_max if f_max > 0 else setting(data, "sampling_rate", base.sample_rate) / 2  # as in librosa
    return mel_config_of(base, data, MEL_NAMES, hop_length=hop_length, n_mels=architecture.n_mels, f_max=f_max)


def _check_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a CheckpointError that lists all tensors that are missing, unknown or of the wrong shape."""
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    wrong = [name for name in sorted(found) if name in expected and found[name] != expected[name]]
    problems = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of the wrong shape": [f"{name} {found[name]} instead of {expected[name]}" for name in wrong],
    }
    if listed := "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names):
        raise CheckpointError(f"the weights do not fit the layout {LAYOUT}; {listed}")
