"""Small random checkpoints with the names and the layout of the foreign projects."""

import itertools
import sys
import types
import warnings
from contextlib import contextmanager

import torch
from foreign_arithmetic import plain
from torch import nn

SIZES = {"n_mels": 5, "width": 6, "layers": 3, "flows": 6}
EXITS = {2: 2, 4: 2}


def normed(state, name, *shape, bias=True, scale=0.8):
    state[f"{name}.weight_v"] = torch.randn(*shape)
    state[f"{name}.weight_g"] = scale * (0.5 + torch.rand(shape[0], *[1] * (len(shape) - 1)))
    if bias:
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0])


def waveglow_state(split=False, split_cond=False):
    """Return a state of WaveGlow; older files split residual and skip layers, or have a condition layer per layer."""
    n_mels, width, layers = SIZES["n_mels"], SIZES["width"], SIZES["layers"]
    state = {"upsample.weight": 0.05 * torch.randn(n_mels, n_mels, 1024), "upsample.bias": torch.randn(n_mels)}
    for k in range(SIZES["flows"]):
        channels, p = 8 - 2 * (k // 2), f"WN.{k}."
        state[f"convinv.{k}.conv.weight"] = torch.linalg.qr(torch.randn(channels, channels))[0][..., None]
        normed(state, f"{p}start", width, channels // 2, 1)
        state[f"{p}end.weight"] = 0.1 * torch.randn(channels, width, 1)
        state[f"{p}end.bias"] = 0.1 * torch.randn(channels)
        if not split_cond:
            normed(state, f"{p}cond_layer", 2 * width * layers, 8 * n_mels, 1, scale=0.05)
        for i in range(layers):
            normed(state, f"{p}in_layers.{i}", 2 * width, width, 3)
            if split_cond:
                normed(state, f"{p}cond_layers.{i}", 2 * width, 8 * n_mels, 1, scale=0.05)
            if split:
                normed(state, f"{p}skip_layers.{i}", width, width, 1)
                if i < layers - 1:
                    normed(state, f"{p}res_layers.{i}", width, width, 1)
            else:
                normed(state, f"{p}res_skip_layers.{i}", (2 if i < layers - 1 else 1) * width, width, 1)
    return state


def r9y9_state(outputs, inputs=1, layers=4):
    """Return a state of wavenet_vocoder: 8 residual, 6 gated, 10 skip channels, kernel 3, two frames of context."""
    state = {"upsample_net.conv_in.weight": 0.1 * torch.randn(80, 80, 5)}
    for i in range(4):
        normed(state, f"upsample_net.upsample.up_layers.{2 * i + 1}", 1, 1, 1, 9, bias=False, scale=0.9)
    normed(state, "first_conv", 8, inputs, 1)
    for i in range(layers):
        p = f"conv_layers.{i}."
        normed(state, f"{p}conv", 12, 8, 3)
        normed(state, f"{p}conv1x1c", 12, 80, 1, bias=False, scale=0.05)
        normed(state, f"{p}conv1x1_out", 8, 6, 1)
        normed(state, f"{p}conv1x1_skip", 10, 6, 1)
    normed(state, "last_conv_layers.1", 10, 10, 1)
    normed(state, "last_conv_layers.3", outputs, 10, 1)
    state["last_conv_layers.3.bias"][-outputs // 3 if outputs < 256 else 0 :] -= 3.0 if outputs < 256 else 0.0
    return state


def renamed(state, form):
    """Return the same weights with weight norm folded, as parametrizations, or with the prefix of DataParallel."""
    if form == "folded":
        return plain(state)
    if form == "module.":
        return {f"module.{name}": value for name, value in state.items()}
    ends = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    made = {}
    for name, value in state.items():
        stem, _, end = name.rpartition(".")
        made[f"{stem}.{ends.get(end, end)}"] = value
    return made


def save(path, state, wrapped=True, legacy=False):
    content = {"state_dict": state, "optimizer": None, "global_step": 7, "global_epoch": 1} if wrapped else state
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@contextmanager
def module_of(name):
    """Provide a module with the class names of NVIDIA's code, and remove it afterwards."""
    module = types.ModuleType(name)
    for title in ("WaveGlow", "WN", "Invertible1x1Conv"):
        setattr(module, title, type(title, (nn.Module,), {"__module__": name}))
    sys.modules[name] = module
    try:
        yield vars(module)
    finally:
        del sys.modules[name]


def pickled_waveglow(path, state, module="glow", legacy=False):
    """Save WaveGlow as NVIDIA does: a pickled module with weight norm's hooks and its hyperparameters."""
    with module_of(module) as classes, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old weight_norm is deprecated
        model = classes["WaveGlow"]()
        model.n_flows, model.n_group, model.n_early_every, model.n_early_size = SIZES["flows"], 8, 2, 2
        for stem in dict.fromkeys(name.rpartition(".")[0] for name in state):
            _put(model, stem.split("."), state, classes)
        model.load_state_dict(state)
        content = {"model": model, "iteration": 580000, "optimizer": {"state": {}}, "learning_rate": 1e-4}
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def _put(model, path, state, classes):
    """Add a layer, and the modules above it that are missing."""
    kinds, parent = {"WN": "WN", "convinv": "Invertible1x1Conv"}, model
    for above, part in itertools.pairwise(["", *path[:-1]]):
        if part not in parent._modules:
            parent.add_module(part, classes[kinds[above]]() if above in kinds else nn.ModuleList())
        parent = parent._modules[part]
    parent.add_module(path[-1], _layer(path, state))


def _layer(path, state):
    stem = ".".join(path)
    weight = state.get(f"{stem}.weight", state.get(f"{stem}.weight_v"))
    if stem == "upsample":
        return nn.ConvTranspose1d(weight.shape[0], weight.shape[1], weight.shape[2], stride=256)
    dilation = 2 ** int(path[-1]) if "in_layers" in path else 1
    made = nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2], dilation=dilation, bias=f"{stem}.bias" in state)
    return nn.utils.weight_norm(made) if f"{stem}.weight_g" in state else made
