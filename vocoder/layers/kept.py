"""Values computed from parameters once, and again when the parameters have changed."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor

T = TypeVar("T")


class Kept(Generic[T]):
    """Holds a value that was computed from parameters. Copies and pickles hold nothing, and compute it again.

    It notices changes in place, except those of parameters made in inference mode, which torch does not count. It holds
    on to the parameters' memory, so that no other parameter can take their address.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[Any, ...], T, tuple[Tensor, ...]] | None = None

    def of(self, parameters: tuple[Tensor, ...], make: Callable[[], T], *further: Any) -> T:
        """Return what `make` returns for these parameters and further settings; call it only if one has changed."""
        now = (*((p.data_ptr(), None if p.is_inference() else p._version) for p in parameters), *further)
        if self._made is None or self._made[0] != now:
            self._made = (now, make(), tuple(p.detach() for p in parameters))
        return self._made[1]

    def drop(self) -> None:
        """Forget the value: fused optimizers change weights that take gradients, and torch does not count it."""
        self._made = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}
