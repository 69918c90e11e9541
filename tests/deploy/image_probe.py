"""Test a running server with the standard library only: post a mel and check the wav that is returned.

Usage: ``python3 image_probe.py http://127.0.0.1:8000 [--admin ADDRESS] [--key KEY]``. With the address of the admin
port, metrics must be there and not on the public one; with an API key, requests without it must fail. Exits
non-zero with a reason if a check fails.
"""

import argparse
import array
import io
import json
import math
import sys
import urllib.error
import urllib.request
import wave

FRAMES = 120
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def npy(rows, columns, values):
    """Return a float32 array in NumPy's format, version 1.0."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    padding = -(len(header) + 11) % 64
    text = (header + " " * padding + "\n").encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values.tobytes()


def voice_like_mel(n_mels):
    """Return the values of a natural-log mel with a few moving bands over a quiet floor, row by row."""
    values = array.array("f")
    for band in range(n_mels):
        for frame in range(FRAMES):
            centre = n_mels * (0.2 + 0.1 * math.sin(2 * math.pi * frame / FRAMES))
            values.append(-8.0 + 7.0 * math.exp(-(((band - centre) / 6.0) ** 2)))
    return values


def status(address, data=None):
    """Return the status of an address for a client without a key."""
    try:
        with DIRECT.open(urllib.request.Request(address, data=data), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def check_speech(address, headers):
    """Request the models, synthesize once, and check length, rate and loudness of the audio."""
    with DIRECT.open(urllib.request.Request(f"{address}/v1/models", headers=headers), timeout=10) as answer:
        models = json.load(answer)
    config = models["models"][0]["mel"]
    body = npy(config["n_mels"], FRAMES, voice_like_mel(config["n_mels"]))
    headers = {**headers, "Content-Type": "application/x-npy", "Accept": "audio/wav"}
    request = urllib.request.Request(f"{address}/v1/synthesize?seed=1", data=body, headers=headers)
    with DIRECT.open(request, timeout=60) as answer, wave.open(io.BytesIO(answer.read())) as wav:
        rate, count = wav.getframerate(), wav.getnframes()
        samples = array.array("h", wav.readframes(count))
    if (rate, count) != (config["sample_rate"], FRAMES * config["hop_length"]):
        sys.exit(f"wrong audio: {count} samples at {rate} Hz for {FRAMES} frames of {config}")
    rms = math.sqrt(sum(value * value for value in samples) / count) / 32768
    if not 1e-4 < rms < 0.9:
        sys.exit(f"wrong loudness: RMS {rms:.5f}")
    print(f"POST /v1/synthesize: {count} samples at {rate} Hz, RMS {rms:.4f}")


def check_statuses(wanted):
    """Check the statuses of addresses; the body of a POST is empty."""
    for name, expected in wanted.items():
        method, _, address = name.partition(" ")
        found = status(address, b"" if method == "POST" else None)
        if found != expected:
            sys.exit(f"{name}: status {found}, not {expected}")
        print(f"{name}: {found}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--admin")
    parser.add_argument("--key")
    args = parser.parse_args()
    check_speech(args.address, {"Authorization": f"Bearer {args.key}"} if args.key else {})
    wanted = {f"GET {args.address}/": 200, f"GET {args.address}/livez": 200}
    if args.key:
        wanted[f"POST {args.address}/v1/synthesize"] = 401
    if args.admin:
        wanted |= {f"GET {args.admin}{path}": 200 for path in ("/metrics", "/docs", "/readyz")}
        wanted[f"GET {args.address}/metrics"] = 401 if args.key else 404
    check_statuses(wanted)


if __name__ == "__main__":
    main()
