"""The way back through a fused gated stack."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from vocoder.layers.stack.gate import gate_backward
from vocoder.layers.stack.rows import Rows, Tile
from vocoder.layers.stack.weights import PackedLayer, PackedStack

__all__ = ["StackBackward"]


class StackBackward:
    """Carries the gradient of one output back to the inputs, and sums those of the weights in float32.

    Args:
        packed: the weights that were computed with.
        rows: how the batch lay in memory.
        cond: whether the condition's gradient is wanted.
        weights: whether the weights' gradients are.
    """

    def __init__(self, packed: PackedStack, rows: Rows, cond: bool, weights: bool) -> None:
        self.packed = packed
        self.rows = rows
        self.wants_cond = cond
        self.wants_weights = weights
        self._outer = _Sums()
        self._sums = [_Sums() for _ in packed.layers]
        self._biases: list[Tensor] = []

    def run(
        self,
        x: Tensor,
        cond: Tensor | None,
        skip: Tensor,
        hidden: Sequence[Tensor],
        gates: Sequence[Tensor],
        grad: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the gradients of x (B, in_channels, T) and cond (B, cond_channels, frames).

        Args:
            x: as it came in.
            cond: as it came in.
            skip: the rows of the sum of all skips.
            hidden: the rows that went into each layer.
            gates: tanh and sigmoid of each layer.
            grad: gradient of the output (B, out_channels, T).
        """
        rows, dtype = self.rows, skip.dtype
        out = rows.pack(grad, dtype)
        grad_skip = out @ self.packed.end[0].t()
        condition = _ConditionGradient(cond, rows, dtype, self.wants_cond)
        grad_hidden: Tensor | None = None
        for i in reversed(range(len(hidden))):
            before = torch.zeros_like(grad_skip) if grad_hidden is None else grad_hidden.clone()
            sums = self._layer(i, hidden[i], gates[i], (grad_skip, grad_hidden, before), condition)
            condition.close(self.packed.layers[i], sums, self._sums[i])
            self._biases.insert(0, sums.sum(0))
            rows.silence(before)
            grad_hidden = before
        assert grad_hidden is not None
        if self.wants_weights:
            self._outer.add("end", out, skip)
            self._outer.add("start", grad_hidden, rows.pack(x, dtype))
            for name, value in (("end bias", out), ("start bias", grad_hidden), ("skip bias", grad_skip)):
                self._outer.totals[name] = value.sum(0, dtype=torch.float32)
        return rows.unpack(grad_hidden @ self.packed.start[0].t()).to(x.dtype), condition.gradient(cond)

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the weights, in the order of `StackWeights.flat`."""
        outer, layers, found = self._outer.totals, self.packed.layers, self._sums
        dilated: list[Tensor] = []
        res_skip: list[Tensor] = []
        for layer, sums, bias in zip(layers, found, self._biases, strict=True):
            taps = [sums.get(offset, matrix.t()) for offset, matrix in sorted(layer.taps, key=lambda tap: tap[0])]
            dilated += [torch.stack(taps, dim=2).unsqueeze(2), bias]
            skip, skip_bias = [sums.get("skip", layer.skip[0].t())], [outer["skip bias"]]
            if layer.res is not None:
                skip, skip_bias = [sums.get("res", layer.res[0].t()), *skip], [sums.totals["res bias"], *skip_bias]
            res_skip += [torch.cat(skip)[:, :, None, None], torch.cat(skip_bias)]
        cond = []
        if layers[0].cond is not None:
            cond = [torch.cat([s.totals["cond"] for s in found])[:, :, None, None], torch.cat(self._biases)]
        ends = [(outer[name][:, :, None, None], outer[f"{name} bias"]) for name in ("start", "end")]
        return [*(tensor for pair in ends for tensor in pair), *dilated, *res_skip, *cond]

    def _layer(
        self,
        i: int,
        hidden: Tensor,
        gates: Tensor,
        grads: tuple[Tensor, Tensor | None, Tensor],
        condition: _ConditionGradient,
    ) -> Tensor:
        """Return the gradient before the gates of layer i, summed over stripes, and add that before the layer.

        Args:
            i: number of the layer.
            hidden: the rows that went into it.
            gates: its tanh and sigmoid.
            grads: gradients of the skip, of the rows that went into the next layer, and, to be added to, of its own.
            condition: gradient of the condition, to be added to.
        """
        layer, rows, width = self.packed.layers[i], self.rows, hidden.shape[1]
        skip, following, before = grads
        buffers = [skip.new_empty(rows.largest, channels) for channels in (width, width, 2 * width)]
        stripes = [-(-(tile.stop - tile.start) // rows.stripe) for tile in rows.tiles]
        sums = torch.empty(sum(stripes), 2 * width)
        for tile, part in zip(rows.tiles, torch.split(sums, stripes), strict=True):
            here = slice(tile.start, tile.stop)
            grad_gated, gated, grad_gates = (buffer[: tile.stop - tile.start] for buffer in buffers)
            torch.mm(skip[here], layer.skip[0].t(), out=grad_gated)
            if layer.res is not None and following is not None:
                grad_gated.addmm_(following[here], layer.res[0].t())
            gate_backward(gates[here], grad_gated, gated, grad_gates, part, rows.stripe)
            for offset, matrix in layer.taps:
                inside, neighbours = tile.shifted(offset)
                if inside.stop > inside.start:
                    before[neighbours].addmm_(grad_gates[inside], matrix.t())
            condition.back(layer, here, grad_gates)
            if self.wants_weights:
                self._sum(i, tile, hidden, gated, grad_gates, grads)
                if condition.rows is not None:
                    self._sums[i].add("cond", grad_gates, condition.rows[here])
        if self.wants_weights and following is not None:
            self._sums[i].totals["res bias"] = following.sum(0, dtype=torch.float32)
        return sums

    def _sum(
        self,
        i: int,
        tile: Tile,
        hidden: Tensor,
        gated: Tensor,
        grad_gates: Tensor,
        grads: tuple[Tensor, Tensor | None, Tensor],
    ) -> None:
        """Add a tile's share to the gradients of the matrices of layer i."""
        here, sums = slice(tile.start, tile.stop), self._sums[i]
        sums.add("skip", grads[0][here], gated)
        if grads[1] is not None:
            sums.add("res", grads[1][here], gated)
        for offset, _ in self.packed.layers[i].taps:
            inside, neighbours = tile.shifted(offset)
            if inside.stop > inside.start:
                sums.add(offset, grad_gates[inside], hidden[neighbours])


class _ConditionGradient:
    """Collects the gradient of a condition, at the rate of the steps or at its own."""

    def __init__(self, cond: Tensor | None, rows: Rows, dtype: torch.dtype, wanted: bool) -> None:
        self.rows: Tensor | None = None
        self._batch_rows = rows
        self._frames: Tensor | None = None
        if cond is not None and cond.shape[2] == rows.length:
            self.rows = rows.pack(cond, dtype)
        elif cond is not None:
            self._frames = cond.detach().transpose(1, 2).flatten(0, 1).float()
        target = self.rows if self._frames is None else self._frames
        self._grad = torch.zeros_like(target) if wanted and target is not None else None

    def back(self, layer: PackedLayer, here: slice, grad_gates: Tensor) -> None:
        """Add the share of a tile, at the rate of the steps."""
        if self.rows is not None and self._grad is not None and layer.cond is not None:
            self._grad[here].addmm_(grad_gates, layer.cond.t())

    def close(self, layer: PackedLayer, stripes: Tensor, sums: _Sums) -> None:
        """Add the share of a layer, at a slower rate; the sums over stripes are those before its gates."""
        if self._frames is None or layer.cond is None:
            return
        by_frame = stripes.view(self._frames.shape[0], -1, stripes.shape[1]).sum(1)
        sums.add("cond", by_frame, self._frames)
        if self._grad is not None:
            self._grad.addmm_(by_frame, layer.cond.float().t())

    def gradient(self, cond: Tensor | None) -> Tensor | None:
        """Return the gradient of cond (B, cond_channels, frames)."""
        if cond is None or self._grad is None:
            return None
        if self._frames is None:
            return self._batch_rows.unpack(self._grad).to(cond.dtype)
        return self._grad.view(cond.shape[0], cond.shape[2], -1).transpose(1, 2).to(cond.dtype)


class _Sums:
    """Products summed in float32, by name."""

    def __init__(self) -> None:
        self.totals: dict[Hashable, Tensor] = {}

    def add(self, name: Hashable, grad: Tensor, inputs: Tensor) -> None:
        """Add what rows contribute to the gradient (outputs, inputs) of a matrix."""
        product = grad.t() @ inputs
        if name in self.totals:
            self.totals[name].add_(product)
        else:
            self.totals[name] = product.float()

    def get(self, name: Hashable, like: Tensor) -> Tensor:
        """Return a sum, or zeros where there was nothing to add."""
        return self.totals[name] if name in self.totals else torch.zeros(like.shape)
