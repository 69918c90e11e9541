"""The processes of a run, with accelerate: their random states, averages of scalars, and what stops them."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate.utils import gather_object
from torch import Tensor
from tqdm import tqdm


def announce(text: str) -> None:
    """Print a line on the first process only, without disturbing a bar; works before the processes have joined."""
    if int(os.environ.get("RANK", "0")) == 0:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def random_state() -> dict[str, Tensor]:
    """Return the random states of torch on CPU and current CUDA device, the only ones that losses use."""
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"torch": torch.get_rng_state(), **cuda}


def set_random_state(state: dict[str, Tensor]) -> None:
    """Restore the states returned by `random_state`."""
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run the `with` block with its own seed and restore torch's random states afterwards."""
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        yield


class Averages:
    """Weighted means of scalars. Sums stay on their device until `close`, so that adding does not synchronize."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, float] = {}

    def add(self, values: Mapping[str, Tensor], weight: float = 1.0) -> None:
        """Add scalars with a weight."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach().double() * weight
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def close(self) -> dict[str, float]:
        """Return the means over all processes and reset; every process must call it."""
        mine = {name: (float(total), self._weights[name]) for name, total in self._sums.items()}
        self._sums, self._weights = {}, {}
        everyone = gather_object([mine])
        names = dict.fromkeys(name for each in everyone for name in each)
        pairs = {name: [each[name] for each in everyone if name in each] for name in names}
        return {name: sum(s for s, _ in found) / sum(w for _, w in found) for name, found in pairs.items()}


class Interruption:
    """Records a request to stop the process; a second request stops it at once."""

    requested = False
    number: int | None = None  # number of the received signal

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside the `with` block."""
        before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested, self.number = True, number
