"""How long threads of a model watch for more work before they fall asleep."""

from __future__ import annotations

from collections.abc import MutableMapping

__all__ = ["spin_briefly"]

ROUNDS = "10000"  # a tenth of a millisecond or two; from one operation of a model to the next it takes less
CHOSEN_BY = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def spin_briefly(environment: MutableMapping[str, str]) -> None:
    """Have GNU's OpenMP, once it is loaded, let threads watch for work 10,000 rounds at most, unless somebody chose.

    By default it is 300,000, several milliseconds after each run, for which they keep a core from whoever encodes that
    run's audio and answers. PyTorch loads it, so this must come before.
    """
    if not any(name in environment for name in CHOSEN_BY):
        environment["GOMP_SPINCOUNT"] = ROUNDS
