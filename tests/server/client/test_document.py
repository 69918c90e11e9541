"""The example of the client in docs/server.md runs as it is written."""

import re
from pathlib import Path

import numpy as np
from streamers import mel_of

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "server.md"


def test_the_example_runs(reach, streamer, tmp_path, monkeypatch, capsys):
    section = DOCUMENT.read_text(encoding="utf-8").split("## The Python client", 1)[1]
    block = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    np.save("mel.npy", mel_of(40))
    names = {}
    with reach(streamer) as client_of:
        url = client_of(lambda url, **_: url)
        exec(compile(block.replace("http://127.0.0.1:8000", url), "<example in docs/server.md>", "exec"), names)
    np.testing.assert_allclose(names["speech"].x, streamer.synthesize(mel_of(40), seed=7))
    assert names["again"].shape == (80, 41)
    assert names["config"] == streamer.mel_config
    assert capsys.readouterr().out.startswith("2048 samples at 22050 Hz\n")
