"""Process pools, memory that stays allocated, and the timing of tasks."""

import os
import platform
import subprocess
import sys

import pytest

from vocoder.timing import alternate

OWNER = """
import sys, time
from functools import partial
from vocoder.processes import process_pool

def hold(path):
    with open(path, "w") as pipe:
        pipe.write("started")
        pipe.flush()
        time.sleep(60)
        pipe.write("late")

if __name__ == "__main__":
    with process_pool(1, partial(print, "prepared", flush=True)) as pool:
        pool.submit(hold, sys.argv[1]).result()
"""

INTERRUPTED = """
import os, signal, time
from vocoder.processes import process_pool

def here():
    return "here"

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it as ignored
    with process_pool(1) as pool:
        future = pool.submit(here)  # the process is still starting
        try:
            os.killpg(0, signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            print(future.result())
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_workers_end_when_their_owner_is_killed(tmp_path):
    script, pipe = tmp_path / "owner.py", tmp_path / "pipe"
    script.write_text(OWNER)
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, str(script), str(pipe)], stdout=subprocess.PIPE, text=True) as owner:
        with pipe.open() as reader:
            assert reader.read(7) == "started"
            owner.kill()
            assert reader.read() == ""  # the worker's end closed before it wrote more
        assert owner.stdout.read() == "prepared\n"


def test_interrupting_the_process_group_only_reaches_the_owner(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(INTERRUPTED)
    owner = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, start_new_session=True)
    assert (owner.stdout, owner.stderr, owner.returncode) == ("here\n", "", 0)


COUNT = """
import resource, torch
from vocoder.memory import keep_freed_memory
kept = keep_freed_memory()
def run():
    for _ in range(20):
        x = torch.ones(2**18) + 1.0  # two arrays of a megabyte
        y = torch.cat([x, x, x])  # lives longer than its parts
        del x
run()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
run()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_a_second_run_reuses_freed_memory():
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    out = subprocess.run([sys.executable, "-c", COUNT], env=bare, capture_output=True, text=True, check=True).stdout
    kept, pages = out.split()
    assert kept == "True"
    assert int(pages) < 100


def test_timed_tasks_alternate_and_warm_ups_are_not_timed():
    calls = []
    clock = [0.0]
    durations = {"a": iter([100.0, 1.0, 5.0, 2.0]), "b": iter([200.0, 3.0, 3.0, 9.0])}

    def task(name):
        calls.append(name)
        clock[0] += next(durations[name])

    tasks = {name: lambda name=name: task(name) for name in "ab"}
    medians = alternate(tasks, repetitions=3, clock=lambda: clock[0])
    assert calls == ["a", "b"] * 4
    assert medians == {"a": 2.0, "b": 3.0}
