"""Slow reference implementations of the foreign models, working on plain weights by name."""

import math

import torch
from torch.nn import functional as F


def plain(state):
    """Fold weight norm: every row of v is scaled to the length g."""
    found = dict(state)
    for name in [name for name in state if name.endswith("weight_v")]:
        stem = name.removesuffix("_v")
        v, g = found.pop(name), found.pop(f"{stem}_g")
        rows = [row * (length / row.square().sum().sqrt()) for row, length in zip(v, g.flatten(), strict=True)]
        found[stem] = torch.stack(rows)
    return found


def conv(state, name, x, dilation=1, left=0, right=0):
    return F.conv1d(F.pad(x, (left, right)), state[f"{name}.weight"], state.get(f"{name}.bias"), dilation=dilation)


def waveglow_audio(state, z, mel, exits):
    """Return audio from noise (B, group, steps); `exits` maps flows to the channels that leave before them."""
    group, flows = z.shape[1], sum(name.startswith("convinv.") for name in state)
    up = F.conv_transpose1d(mel, state["upsample.weight"], state["upsample.bias"], stride=256)[:, :, :-768]
    cond = torch.cat([up[:, m : m + 1, j::group] for m in range(up.shape[1]) for j in range(group)], dim=1)
    early = list(z.split([*exits.values(), group - sum(exits.values())], dim=1))
    x = early.pop()
    for k in reversed(range(flows)):
        half = x.shape[1] // 2
        kept, changed = x[:, :half], x[:, half:]
        out = waveglow_network(state, f"WN.{k}.", kept, cond)
        x = torch.cat([kept, (changed - out[:, :half]) / out[:, half:].exp()], dim=1)
        x = torch.linalg.inv(state[f"convinv.{k}.conv.weight"][:, :, 0]) @ x
        if k in exits:
            x = torch.cat([early.pop(), x], dim=1)
    return x.transpose(1, 2).flatten(1)


def waveglow_network(state, prefix, x, cond):
    hidden = conv(state, f"{prefix}start", x)
    width, total = hidden.shape[1], torch.zeros(())
    layers = sum(name.startswith(f"{prefix}in_layers.") and name.endswith("bias") for name in state)
    for i in range(layers):
        gates = conv(state, f"{prefix}in_layers.{i}", hidden, 2**i, 2**i, 2**i)
        if f"{prefix}cond_layer.bias" in state:
            gates = gates + conv(state, f"{prefix}cond_layer", cond)[:, 2 * width * i : 2 * width * (i + 1)]
        else:
            gates = gates + conv(state, f"{prefix}cond_layers.{i}", cond)
        acts = gates[:, :width].tanh() * gates[:, width:].sigmoid()
        if f"{prefix}skip_layers.{i}.bias" in state:
            total = total + conv(state, f"{prefix}skip_layers.{i}", acts)
            if i < layers - 1:
                hidden = hidden + conv(state, f"{prefix}res_layers.{i}", acts)
            continue
        both = conv(state, f"{prefix}res_skip_layers.{i}", acts)
        if i < layers - 1:
            hidden, both = hidden + both[:, :width], both[:, width:]
        total = total + both
    return conv(state, f"{prefix}end", total)


def r9y9_condition(state, mel, pad, scales):
    wide = torch.cat([mel[:, :, :1]] * pad + [mel] + [mel[:, :, -1:]] * pad, dim=2)
    image = conv(state, "upsample_net.conv_in", wide)[:, None]
    for i, scale in enumerate(scales):
        image = torch.stack([image] * scale, dim=-1).flatten(-2)
        weight = state[f"upsample_net.upsample.up_layers.{2 * i + 1}.weight"]
        image = F.conv2d(image, weight, padding=(weight.shape[2] // 2, scale))
    return image[:, 0]


def r9y9_network(state, layers, cycle):
    def run(x, c):
        h, skips = conv(state, "first_conv", x), torch.zeros(())
        for i in range(layers):
            p, d = f"conv_layers.{i}.", 2 ** (i % cycle)
            taps = state[f"{p}conv.weight"].shape[2]
            gates = conv(state, f"{p}conv", h, d, (taps - 1) * d) + conv(state, f"{p}conv1x1c", c)
            a, b = gates.chunk(2, dim=1)
            out = a.tanh() * b.sigmoid()
            skips = skips + conv(state, f"{p}conv1x1_skip", out)
            h = (h + conv(state, f"{p}conv1x1_out", out)) * math.sqrt(0.5)
        middle = conv(state, "last_conv_layers.1", (skips * math.sqrt(1 / layers)).relu())
        return conv(state, "last_conv_layers.3", middle.relu())

    return run


def generated(network, cond, sample, first):
    """Generate (B, T) from the whole past; `sample` maps outputs and step to a sample and the next input."""
    inputs, made = [first], []
    for t in range(cond.shape[2]):
        x, next_input = sample(network(torch.stack(inputs, dim=2), cond[:, :, : t + 1])[:, :, -1], t)
        inputs.append(next_input)
        made.append(x)
    return torch.stack(made, dim=1)
