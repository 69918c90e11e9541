"""Importing the package, its client or a program's table of commands loads no torch; the public names do when used."""

import subprocess
import sys

import vocoder

LIGHT = [
    "import vocoder; dir(vocoder); vocoder.__version__; vocoder.preset('nvidia')",
    "from vocoder.client import Client",
    "from vocoder.audio import read_audio, write_audio",
    "import vocoder.cli",
]


def test_nothing_loads_torch_before_it_is_needed():
    code = f"{'; '.join(LIGHT)}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_every_public_name_is_there():
    assert {name for name in vocoder.__all__ if not hasattr(vocoder, name)} == set()
    assert set(vocoder.__all__) <= set(dir(vocoder))
    assert vocoder.load is vocoder.load
