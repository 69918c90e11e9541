"""No process stays behind when the one that started it is killed, and none hears Ctrl-C in its place."""

import os
import subprocess
import sys

import pytest

OWNER = """
import sys, time
from functools import partial
from vocoder.processes import process_pool

def hold(path):
    with open(path, "w") as pipe:
        pipe.write("here")
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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job inherits as ignored
    with process_pool(1) as pool:
        future = pool.submit(here)  # by a process that is still starting
        try:
            os.killpg(0, signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            print(future.result())
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_worker_ends_when_its_owner_is_killed(tmp_path):
    script, pipe = tmp_path / "owner.py", tmp_path / "pipe"
    script.write_text(OWNER)
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, str(script), str(pipe)], stdout=subprocess.PIPE, text=True) as owner:
        with pipe.open() as held:
            assert held.read(4) == "here"
            owner.kill()
            assert held.read() == ""  # the worker's end is closed, and not because it was done
        assert owner.stdout.read() == "prepared\n"


def test_an_interrupt_of_the_group_reaches_the_owner_alone(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(INTERRUPTED)
    owner = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, start_new_session=True)
    assert (owner.stdout, owner.stderr, owner.returncode) == ("here\n", "", 0)
