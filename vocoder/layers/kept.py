"""What is made of parameters once, and again when they have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """Holds what was made of parameters; copies of it and pickles hold nothing, and make it anew.

    Changes in place are seen save in parameters that were made in inference mode, which torch does not count.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[Any, ...], T] | None = None

    def of(self, parameters: tuple[Tensor, ...], make: Callable[[], T], *further: Any) -> T:
        """Return what `make` returned when these parameters, and whatever else it depends on, were as they are now."""
        now = (*((p.data_ptr(), None if p.is_inference() else p._version) for p in parameters), *further)
        if self._made is None or self._made[0] != now:
            self._made = (now, make())
        return self._made[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}
