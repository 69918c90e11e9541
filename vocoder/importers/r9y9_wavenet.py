"""Import the autoregressive WaveNet of r9y9's wavenet_vocoder."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocoder.checkpoint import CheckpointError
from vocoder.importers.weights import Imported, Weights, count, mel_config_of, setting
from vocoder.layers.conditioning import UpsamplingConfig
from vocoder.layers.stack.wavenet import PublishedStackConfig
from vocoder.mel.config import preset
from vocoder.mel.config_file import load_mel_config
from vocoder.models.wavenet import PublishedWaveNetConfig, WaveNet

LAYOUT = "r9y9-wavenet"
UPSAMPLING = "upsample_net.upsample.up_layers."
MEL_NAMES = {"n_fft": "fft_size", "win_length": "win_length", "f_min": "fmin", "f_max": "fmax"}
PREEMPHASIS = 0.85  # default in the project's audio code; no preset sets it


def import_r9y9(weights: Weights, settings: Mapping[str, Any] | None, statistics: Path | None) -> Imported:
    """Build a checkpoint's WaveNet, its sizes from the tensors; raises a CheckpointError if there is none."""
    if settings is None:
        raise CheckpointError("the weights do not say how dilations repeat: give the model's preset (JSON) as --config")
    remaining = dict(weights.tensors)
    if "embed_speakers.weight" in remaining:
        raise CheckpointError("multi-speaker models cannot be imported")
    config = _architecture(remaining, settings)
    _check_preset(config, settings)
    model, layers = WaveNet(config), len(config.stack.dilations)
    model.load_state_dict(_converted(remaining, config))
    if remaining:
        raise CheckpointError(f"the weights do not fit the layout {LAYOUT}; unknown: {', '.join(remaining)}")
    notes = [f"the original never uses the residual of its last layer, conv_layers.{layers - 1}.conv1x1_out"]
    known = {"sample_rate": config.sample_rate, "hop_length": config.hop_length, "n_mels": config.n_mels}
    mel_config = load_mel_config(mel_config_of(preset("r9y9"), settings, MEL_NAMES, **known), statistics)
    if statistics is None:
        notes.append("no statistics: mels must be normalised by the mean and variance of the training corpus")
        mel_config = dataclasses.replace(mel_config, name=f"{mel_config.name}-without-statistics")
    return Imported(model, mel_config, tuple(notes))


def _architecture(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> PublishedWaveNetConfig:
    needed = ["first_conv.weight", "conv_layers.0.conv.weight", "conv_layers.0.conv1x1_skip.weight"]
    needed += ["upsample_net.conv_in.weight", f"{UPSAMPLING}1.weight", "last_conv_layers.3.weight"]
    if missing := [name for name in needed if name not in tensors or tensors[name].ndim < 3]:
        raise CheckpointError(f"these are not weights of the layout {LAYOUT}: missing {', '.join(missing)}")
    residual, inputs, _ = tensors["first_conv.weight"].shape
    gates, _, kernel = tensors["conv_layers.0.conv.weight"].shape
    stages = [tensors.get(f"{UPSAMPLING}{2 * i + 1}.weight") for i in range(count(tensors, UPSAMPLING) // 2)]
    shapes = [tuple(stage.shape) for stage in stages if stage is not None and stage.ndim == 4]
    layers, cycles = count(tensors, "conv_layers."), setting(settings, "stacks", 0)
    if cycles < 1 or layers % cycles:
        raise CheckpointError(f"stacks in the configuration must divide the {layers} layers, but it is {cycles}")
    outputs = tensors["last_conv_layers.3.weight"].shape[0]
    gain = setting(settings, "global_gain_scale", 1.0)  # 0 and below mean none
    preprocess = setting(settings, "preprocess", "")
    if preprocess not in ("", "preemphasis"):
        raise CheckpointError(f'preprocess must be "" or "preemphasis" to be imported, not {preprocess!r}')
    return PublishedWaveNetConfig(
        n_mels=tensors["upsample_net.conv_in.weight"].shape[0],
        hop_length=math.prod((shape[3] - 1) // 2 for shape in shapes),
        sample_rate=setting(settings, "sample_rate", 22050),
        distribution=_distribution(inputs, outputs, settings),  # type: ignore[arg-type]
        components=max(outputs // 3, 1),
        stack=PublishedStackConfig(
            residual_channels=residual,
            gate_channels=gates // 2,
            skip_channels=tensors["conv_layers.0.conv1x1_skip.weight"].shape[0],
            dilations=tuple(2 ** (i % (layers // cycles)) for i in range(layers)),
            kernel_size=kernel,
        ),
        upsampling=UpsamplingConfig(
            tuple((shape[3] - 1) // 2 for shape in shapes),
            context=(tensors["upsample_net.conv_in.weight"].shape[2] - 1) // 2,
            bands=shapes[0][2] if shapes else 1,
        ),
        emphasis=setting(settings, "preemphasis", PREEMPHASIS) if preprocess else 0.0,
        gain=gain if gain > 0 else 1.0,
    )


def _distribution(inputs: int, outputs: int, settings: Mapping[str, Any]) -> str:
    kind = setting(settings, "input_type", "raw")
    if kind != "raw" or inputs > 1:
        raise CheckpointError(f"input_type {kind} with {inputs} channels cannot be imported, only raw with one")
    activation = setting(setting(settings, "upsample_params", {}), "upsample_activation", "none")
    if activation != "none":
        raise CheckpointError(f"upsampling with the activation {activation!r} cannot be imported, only without one")
    shape = setting(settings, "output_distribution", "Normal" if outputs == 2 else "Logistic")
    if shape == "Normal" and outputs == 2:
        return "gaussian"
    if shape != "Logistic" or outputs % 3:
        found = f"output_distribution is {shape} in the configuration, but out_channels is {outputs} in the weights"
        raise CheckpointError(f"{found}: Normal, one Gaussian, needs 2, and Logistic 3 per component")
    return "logistic"


def _check_preset(config: PublishedWaveNetConfig, settings: Mapping[str, Any]) -> None:
    """Raise a CheckpointError if the settings contradict the tensors; null agrees with anything."""
    stack, upsampling = config.stack, config.upsampling
    found: dict[str, Any] = {
        "num_mels": config.n_mels,
        "cin_channels": config.n_mels,
        "cin_pad": upsampling.context,
        "layers": len(stack.dilations),
        "residual_channels": stack.residual_channels,
        "gate_channels": 2 * stack.gate_channels,
        "skip_out_channels": stack.skip_channels,
        "kernel_size": stack.kernel_size,
        "out_channels": 2 if config.distribution == "gaussian" else 3 * config.components,
        "hop_size": config.hop_length,
        "upsample_scales": list(upsampling.scales),
        "freq_axis_kernel_size": upsampling.bands,
    }
    configured = {**settings, **setting(settings, "upsample_params", {})}
    for name, value in found.items():
        if configured.get(name) not in (None, value):
            raise CheckpointError(f"{name} is {configured[name]!r} in the configuration, but {value!r} in the weights")


def _converted(tensors: dict[str, Tensor], config: PublishedWaveNetConfig) -> dict[str, Tensor]:
    """Remove all known tensors from `tensors`, and return those of a `WaveNet` that computes the same without scales.

    The original's layers compute h_{i+1} = s (h_i + o_i) with s = sqrt(1/2). With h_i = s^i g_i this is
    g_{i+1} = g_i + o_i / s^i, so that s^i goes into the convolution that reads g_i and 1 / s^i into the one that writes
    o_i. The scale of the skips' sum is positive and passes the ReLU. The last layer's residual is unused.
    """
    converted: dict[str, Tensor] = {"condition.conv_in.weight": tensors.pop("upsample_net.conv_in.weight")}
    for i in range(len(config.upsampling.scales)):
        converted[f"condition.stages.{i}.weight"] = tensors.pop(f"{UPSAMPLING}{2 * i + 1}.weight")

    def take(name: str) -> tuple[Tensor, Tensor]:
        return tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.bias")

    def put(name: str, weight: Tensor, bias: Tensor) -> None:
        converted[f"stack.{name}.weight"], converted[f"stack.{name}.bias"] = weight.unsqueeze(2), bias

    layers = len(config.stack.dilations)
    for i in range(layers):
        prefix, scale = f"conv_layers.{i}.", math.sqrt(0.5) ** i
        weight, bias = take(f"{prefix}conv")
        put(f"in_layers.{i}", weight * scale, bias + tensors.pop(f"{prefix}conv1x1c.bias", torch.zeros(())))
        converted[f"stack.cond_layers.{i}.weight"] = tensors.pop(f"{prefix}conv1x1c.weight").unsqueeze(2)
        weight, bias = take(f"{prefix}conv1x1_skip")
        residual = take(f"{prefix}conv1x1_out")
        if i < layers - 1:
            weight, bias = torch.cat([residual[0] / scale, weight]), torch.cat([residual[1] / scale, bias])
        put(f"res_skip_layers.{i}", weight, bias)
    put("start", *take("first_conv"))
    weight, bias = take("last_conv_layers.1")
    put("middle", weight * math.sqrt(1 / layers), bias)
    put("end", *take("last_conv_layers.3"))
    return converted
