"""Make the C library keep freed memory for reuse, or give it back."""

import ctypes
import os
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of mallopt in glibc's malloc.h
KEPT_BYTES = 256 * 2**20
LARGEST_BYTES = 32 * 2**20  # the largest value that every glibc accepts
CHOSEN_BY = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Make glibc keep up to 256 MiB of freed memory in this process; return whether it does.

    A run of a model allocates and frees dozens of arrays of several megabytes. By default their pages go back to the
    kernel at once, and the next operation requests them again, zeroed one by one, which takes up to a third of the time
    on the main thread; the heaps of other threads keep more. Settings in the environment take precedence.
    """
    chosen = any(name in os.environ for name in CHOSEN_BY) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if chosen or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    done = [mallopt(MMAP_THRESHOLD, LARGEST_BYTES), mallopt(TRIM_THRESHOLD, KEPT_BYTES)]
    return done == [1, 1]


def give_back_memory() -> bool:
    """Make glibc return all freed memory of this process to the kernel, once; return whether it did."""
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).malloc_trim(0))
