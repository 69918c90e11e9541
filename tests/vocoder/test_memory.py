"""Freed memory is kept for the next run, unless somebody chose otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys, torch
from vocoder.memory import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
def run():
    for _ in range(20):
        x = torch.ones(2**18) + 1.0  # a megabyte, twice
        y = torch.cat([x, x, x])  # which outlives what it is made of
        del x
run()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
run()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")


def counted(mode: str, **environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and how many pages are asked for in a run like one before."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", COUNT, mode]
    out = subprocess.run(command, env=bare | environment, capture_output=True, text=True, check=True).stdout.split()
    return out[0] == "True", int(out[1])


@glibc
def test_a_second_run_asks_for_no_pages():
    kept, pages = counted("keep")
    assert kept
    assert pages < 100
