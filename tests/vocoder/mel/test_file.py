"""A file that is no mel is told what it is."""

from __future__ import annotations

import numpy as np
import pytest

from vocoder.npy import kind_of, read_mel


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"", "it is empty"),
        (b"RIFF..", "it is a wav file; listen"),
        (b"PK\x03\x04..", "it is a zip archive, as .npz and .pt are: save the mel itself with numpy.save"),
        (b"\x80\x04....", "it is a pickle: save the mel itself with numpy.save"),
        (b"hello.", ""),
    ],
)
def test_the_first_bytes_tell_what_a_file_is(start, said):
    assert kind_of(start, "listen") == said


def test_what_cannot_be_read_is_said(tmp_path):
    mel = np.zeros((80, 9), np.float32)
    np.savez(tmp_path / "zip.npz", mel=mel)
    np.save(tmp_path / "whole.npy", mel)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-4])
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "none.npy", mel[:, :0])
    np.save(tmp_path / "batch.npy", mel[None])
    np.save(tmp_path / "integers.npy", mel.astype(np.int16))
    for name, said in [
        ("zip.npz", "a zip archive"),
        ("cut.npy", "values do not fit its shape"),
        ("objects.npy", "floats, not .O"),
        ("none.npy", "at least one frame"),
        ("integers.npy", "a mel holds floats, not <i2"),
        ("absent.npy", "there is no file"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            read_mel(tmp_path / name)
    assert read_mel(tmp_path / "whole.npy").shape == (80, 9)
    assert read_mel(tmp_path / "batch.npy").shape == (80, 9)
