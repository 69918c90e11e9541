"""Compare the tensors of a checkpoint with those that its layout asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from vocoder.checkpoint import CheckpointError

__all__ = ["check_keys", "count"]

Shapes = Mapping[str, tuple[int, ...]]


def check_keys(tensors: Mapping[str, Tensor], expected: Shapes, layout: str) -> None:
    """Raise if a tensor is missing, unknown or of another shape; the text lists every one.

    Raises:
        CheckpointError: as said.
    """
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
        if names
    ]
    if problems:
        raise CheckpointError(f"the weights do not fit the layout {layout}; {'; '.join(problems)}")


def count(tensors: Iterable[str], prefix: str) -> int:
    """Return one more than the highest number below 1000 that follows `prefix` in the names, 0 if there is none."""
    heads = (name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix))
    return max((int(head) + 1 for head in heads if head.isdigit() and len(head) < 4), default=0)
