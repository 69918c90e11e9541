"""Import ClariNet's teacher and student, as ksw0306's reimplementation saves them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vocoder.checkpoint import CheckpointError
from vocoder.config import ConfigError
from vocoder.importers.imported import Imported, Request, check_agreement, setting
from vocoder.importers.keys import check_keys, count
from vocoder.importers.published_weights import Convolution, GatedLayer, stack_weights
from vocoder.layers.published import PublishedStackConfig, UpsamplingConfig
from vocoder.mel.config import preset
from vocoder.models.published_config import PublishedStudentConfig, PublishedWaveNetConfig
from vocoder.models.published_student import PublishedStudent
from vocoder.models.wavenet import WaveNet

__all__ = ["import_clarinet_student", "import_clarinet_teacher"]

TEACHER, STUDENT = "clarinet-teacher", "clarinet-student"
SLOPE = 0.4
LAYERS = 10  # of a cycle of dilations, the default of the project's command line
RESIDUAL_SCALE = math.sqrt(0.5)

Shapes = dict[str, tuple[int, ...]]


def import_clarinet_teacher(request: Request) -> Imported:
    """Return the autoregressive WaveNet of a checkpoint.

    Raises:
        CheckpointError: the tensors are not those of this layout, or the configuration contradicts them.
    """
    tensors = request.weights.tensors
    upsampling = _upsampling(tensors, TEACHER)
    stack = _stack(tensors, "", request.config, TEACHER)
    mel_config = preset("clarinet")
    check_keys(tensors, _stack_shapes("", stack, mel_config.n_mels) | _upsampling_shapes(upsampling), TEACHER)
    _check_options(request.config, stack, mel_config.n_mels)
    try:
        config = PublishedWaveNetConfig(stack=stack, upsampling=upsampling)
    except ConfigError as error:
        raise CheckpointError(f"these are no weights of the layout {TEACHER}: {error}") from error
    model = WaveNet(config)
    ours = {f"stack.{name}": value for name, value in _stack_weights(tensors, "", stack).items()}
    model.load_state_dict(ours | _upsampling_weights(tensors, upsampling))
    return Imported(model, mel_config, _notes("", stack, request.config))


def import_clarinet_student(request: Request) -> Imported:
    """Return the student of a checkpoint, with the upsampling network of its teacher.

    Raises:
        CheckpointError: as for the teacher, or there is no teacher.
    """
    if request.teacher is None:
        raise CheckpointError("a student hears its mel through its teacher's upsampling: give its file with --teacher")
    tensors, mel_config = request.weights.tensors, preset("clarinet")
    upsampling = _upsampling(request.teacher.tensors, TEACHER)
    prefixes = [f"iafs.{flow}." for flow in range(count(tensors, "iafs."))]
    if not prefixes:
        raise CheckpointError(f"these are no weights of the layout {STUDENT}: there is no iafs.0")
    stacks = tuple(_stack(tensors, prefix, request.config, STUDENT) for prefix in prefixes)
    expected: Shapes = {}
    for prefix, stack in zip(prefixes, stacks, strict=True):
        expected |= _stack_shapes(prefix, stack, mel_config.n_mels)
    check_keys(tensors, expected, STUDENT)
    kept = {name: value for name, value in request.teacher.tensors.items() if name.startswith("upsample_conv.")}
    check_keys(kept, _upsampling_shapes(upsampling), TEACHER)
    try:
        config = PublishedStudentConfig(stacks=stacks, upsampling=upsampling)
    except ConfigError as error:
        raise CheckpointError(f"these are no weights of the layout {STUDENT}: {error}") from error
    model = PublishedStudent(config)
    ours = _upsampling_weights(kept, upsampling)
    for flow, (prefix, stack) in enumerate(zip(prefixes, stacks, strict=True)):
        made = _stack_weights(tensors, prefix, stack)
        ours |= {f"steps.{flow}.{name}": value for name, value in made.items()}
    model.load_state_dict(ours)
    return Imported(model, mel_config, _notes(prefixes[0], stacks[0], request.config))


def _check_options(config: Mapping[str, Any] | None, stack: PublishedStackConfig, n_mels: int) -> None:
    """Raise if the options of the teacher's training say something else than the tensors."""
    layers = len(stack.dilations)
    found = {
        "num_blocks": layers // setting(config, "num_layers", LAYERS),
        "residual_channels": stack.residual_channels,
        "gate_channels": stack.gate_channels,
        "skip_channels": stack.skip_channels,
        "kernel_size": stack.kernel_size,
        "cin_channels": n_mels,
    }
    check_agreement(config, found)


def _notes(prefix: str, stack: PublishedStackConfig, config: Mapping[str, Any] | None) -> tuple[str, ...]:
    last = len(stack.dilations) - 1
    unused = f"the original never uses the residual of its last layers, such as {prefix}res_blocks.{last}.res_conv"
    if config is not None and "num_layers" in config:
        return (unused,)
    return unused, f"dilations taken to repeat every {LAYERS} layers, the default; else give num_layers in --config"


def _stack(
    tensors: Mapping[str, Tensor], prefix: str, config: Mapping[str, Any] | None, layout: str
) -> PublishedStackConfig:
    """Return the shape of the network whose names start with `prefix`."""
    needed = [f"{prefix}{name}.weight" for name in ("front_conv.0.conv", "res_blocks.0.filter_conv.conv")]
    needed.append(f"{prefix}res_blocks.0.skip_conv.weight")
    missing = [name for name in needed if name not in tensors or tensors[name].ndim != 3]
    if missing:
        raise CheckpointError(f"these are no weights of the layout {layout}: missing {', '.join(missing)}")
    front, gate, skip = (tuple(tensors[name].shape) for name in needed)
    layers, cycle = count(tensors, f"{prefix}res_blocks."), setting(config, "num_layers", LAYERS)
    if cycle < 1 or layers % cycle:
        raise CheckpointError(
            f"the {layers} layers of {prefix or 'the network'} do not repeat every {cycle}: "
            f"give num_layers, the layers of a block, in --config"
        )
    base = gate[2] if layout == TEACHER else 2
    return PublishedStackConfig(
        residual_channels=front[0],
        gate_channels=gate[0],
        skip_channels=skip[0],
        dilations=tuple(base ** (i % cycle) for i in range(layers)),
        kernel_size=gate[2],
        front_kernel=front[2],
        front_relu=True,
    )


def _upsampling(tensors: Mapping[str, Tensor], layout: str) -> UpsamplingConfig:
    stages = [tensors.get(f"upsample_conv.{2 * i}.weight") for i in range((count(tensors, "upsample_conv.") + 1) // 2)]
    shapes = [tuple(stage.shape) for stage in stages if stage is not None and stage.ndim == 4]
    if not shapes or len(shapes) != len(stages):
        raise CheckpointError(f"these are no weights of the layout {layout}: upsample_conv is missing or damaged")
    try:
        return UpsamplingConfig("transposed", tuple(s[3] // 2 for s in shapes), bands=shapes[0][2], slope=SLOPE)
    except ConfigError as error:
        raise CheckpointError(f"these are no weights of the layout {layout}: {error}") from error


def _upsampling_shapes(config: UpsamplingConfig) -> Shapes:
    shapes: Shapes = {}
    for i, scale in enumerate(config.scales):
        shapes[f"upsample_conv.{2 * i}.weight"] = (1, 1, config.bands, 2 * scale)
        shapes[f"upsample_conv.{2 * i}.bias"] = (1,)
    return shapes


def _upsampling_weights(tensors: Mapping[str, Tensor], config: UpsamplingConfig) -> dict[str, Tensor]:
    return {
        f"condition.stages.{i}.{end}": tensors[f"upsample_conv.{2 * i}.{end}"]
        for i in range(len(config.scales))
        for end in ("weight", "bias")
    }


def _stack_shapes(prefix: str, stack: PublishedStackConfig, n_mels: int) -> Shapes:
    """Return every name of one network with its shape, weight norm folded."""
    residual, gate, skip = stack.residual_channels, stack.gate_channels, stack.skip_channels
    sizes: Shapes = {f"{prefix}front_conv.0.conv": (residual, 1, stack.front_kernel)}
    sizes |= {f"{prefix}final_conv.1.conv": (skip, skip, 1), f"{prefix}final_conv.3.conv": (2, skip, 1)}
    for i in range(len(stack.dilations)):
        block = f"{prefix}res_blocks.{i}."
        for branch in ("filter_conv", "gate_conv"):
            sizes[f"{block}{branch}.conv"] = (gate, residual, stack.kernel_size)
            sizes[f"{block}{branch}_c"] = (gate, n_mels, 1)
        sizes[f"{block}res_conv"], sizes[f"{block}skip_conv"] = (residual, gate, 1), (skip, gate, 1)
    shapes: Shapes = {}
    for name, shape in sizes.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    return shapes


def _stack_weights(tensors: Mapping[str, Tensor], prefix: str, stack: PublishedStackConfig) -> dict[str, Tensor]:
    layers = [_layer(tensors, f"{prefix}res_blocks.{i}.") for i in range(len(stack.dilations))]
    front, middle, end = (
        _conv(tensors, f"{prefix}{name}.conv") for name in ("front_conv.0", "final_conv.1", "final_conv.3")
    )
    return stack_weights(front, layers, middle, end, residual_scale=RESIDUAL_SCALE, skip_scale=1.0)


def _layer(tensors: Mapping[str, Tensor], block: str) -> GatedLayer:
    branches = [_conv(tensors, f"{block}{name}.conv") for name in ("filter_conv", "gate_conv")]
    conds = [_conv(tensors, f"{block}{name}_c") for name in ("filter_conv", "gate_conv")]
    bias = torch.cat([bias for _, bias in branches]) + torch.cat([bias for _, bias in conds])
    gates = torch.cat([weight for weight, _ in branches]), bias
    cond = torch.cat([weight for weight, _ in conds])
    return GatedLayer(gates, cond, _conv(tensors, f"{block}res_conv"), _conv(tensors, f"{block}skip_conv"))


def _conv(tensors: Mapping[str, Tensor], name: str) -> Convolution:
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]
