"""What tests send to the routes and read in their answers."""

import io
from pathlib import Path

import httpx
import numpy as np
import torch

from vocoder.audio.file import read_audio
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

TIMEOUT = 60.0
PROBLEM = "urn:vocoder:problem:"
RECORDING = Path(__file__).resolve().parents[2] / "examples" / "heldout.flac"


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def samples(response):
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


def slug(response):
    """The status and the name of a problem."""
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix(PROBLEM)


def problem(response, status, name):
    assert slug(response) == (status, name), response.text
    document = response.json()
    assert (document["status"], document["request_id"]) == (status, response.headers["x-request-id"])
    return document


def metrics(url):
    return httpx.get(f"{url.rstrip('/')}/metrics", timeout=TIMEOUT).text


def metric(url, name):
    """The sum of the samples whose names begin so."""
    return sum(float(line.rpartition(" ")[2]) for line in metrics(url).splitlines() if line.startswith(name))


def recorded(name="nvidia", seconds=None):
    """The mel of a recording by a preset."""
    config = preset(name)
    x = read_audio(RECORDING, config.sample_rate)[0]
    x = x if seconds is None else x[: int(seconds * config.sample_rate)]
    return MelSpectrogram(config)(torch.from_numpy(x)[None])[0].numpy()
