"""Bodies that tests send to the routes, and helpers that read the responses."""

import io

import av
import httpx
import numpy as np
import soundfile

TIMEOUT = 60.0
PROBLEM = "urn:vocoder:problem:"


def npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version)
    return stream.getvalue()


def encoded(x, sample_rate=22050, container="WAV", subtype=None):
    stream = io.BytesIO()
    soundfile.write(stream, x, sample_rate, format=container, subtype=subtype)
    return stream.getvalue()


def tone(seconds=1.0, frequency=1000.0):
    return 0.5 * np.sin(2.0 * np.pi * frequency * np.arange(int(seconds * 22050)) / 22050)


def samples(response):
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


def decode_with_ffmpeg(body):
    """Decode an audio file with FFmpeg; return samples between -1 and 1 and their rate."""
    with av.open(io.BytesIO(body)) as file:
        stream = file.streams.audio[0]
        frames = [frame.to_ndarray().reshape(-1) for frame in file.decode(stream)]
        rate = stream.rate
    samples = np.concatenate(frames)
    return (samples / 32768.0 if samples.dtype.kind == "i" else samples), rate


def slug(response):
    """Return the status and the name of a problem."""
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix(PROBLEM)


def problem(response, status, name):
    assert slug(response) == (status, name), response.text
    document = response.json()
    assert (document["status"], document["request_id"]) == (status, response.headers["x-request-id"])
    return document


def metrics(url):
    # Reading certificates would take longer than the rest.
    return httpx.get(f"{url.rstrip('/')}/metrics", timeout=TIMEOUT, verify=False).text


def metric(url, name):
    """Return the sum of the samples whose names start with `name`."""
    return sum(float(line.rpartition(" ")[2]) for line in metrics(url).splitlines() if line.startswith(name))
