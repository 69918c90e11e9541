import numpy as np
import pytest


@pytest.fixture
def write_mels(tmp_path):
    """Return a function that writes mels of the given lengths to a folder as 00.npy, 01.npy and so on."""

    def write(*lengths, folder="mels"):
        (tmp_path / folder).mkdir(exist_ok=True)
        for i, frames in enumerate(lengths):
            mel = np.random.default_rng(i).normal(-5.0, 1.5, (80, frames)).astype(np.float32).clip(-11.5, None)
            np.save(tmp_path / folder / f"{i:02}.npy", mel)
        return tmp_path / folder

    return write
