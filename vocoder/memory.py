"""Have the C library keep freed memory for what comes next."""

import ctypes
import os
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
KEPT_BYTES = 256 * 2**20
LARGEST_BYTES = 32 * 2**20  # the most that every glibc takes
CHOSEN_BY = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Have glibc keep up to 256 MiB of freed memory in this process instead of giving it back; return whether it does.

    A run of a model takes and frees some dozens of arrays of megabytes each. By default their pages go back to the
    kernel at once and are asked for again by the next operation, zeroed one by one, which takes up to a third of the
    time on the main thread; the heaps of other threads keep more of them. A choice of the environment stands.
    """
    chosen = any(name in os.environ for name in CHOSEN_BY) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if chosen or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    done = [mallopt(MMAP_THRESHOLD, LARGEST_BYTES), mallopt(TRIM_THRESHOLD, KEPT_BYTES)]
    return done == [1, 1]


def give_back_memory() -> bool:
    """Have glibc give all freed memory of this process back to the kernel, once; return whether it did."""
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).malloc_trim(0))
