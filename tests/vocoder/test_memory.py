import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from vocoder.memory import keep_freed_memory
kept = keep_freed_memory()
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_second_run_asks_for_no_pages():
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    out = subprocess.run([sys.executable, "-c", COUNT], env=bare, capture_output=True, text=True, check=True).stdout
    kept, pages = out.split()
    assert kept == "True"
    assert int(pages) < 100
