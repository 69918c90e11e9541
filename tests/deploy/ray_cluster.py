"""Run the service on Ray Serve with two CPU replicas, kill one under load, and synthesize files with Ray Data.

Needs the extras server and ray, 3 GB of memory and half a minute (`make ray-test`); skipped if Ray
is not installed. Exits non-zero with a reason if a check fails.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
from image_probe import DIRECT, npy, voice_like_mel

ROOT = Path(__file__).resolve().parents[2]
N_MELS, FRAMES, HOP_LENGTH = 80, 120, 256
BODY = npy(N_MELS, FRAMES, voice_like_mel(N_MELS))
CLIENTS = 8
# Starting a process on a busy machine with two cores takes longer than Ray's default timeouts.
PATIENCE = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_worker_register_timeout_seconds": "180",
}


@dataclass(frozen=True)
class Answer:
    """The response to a request: HTTP status (0: the connection broke), replica, 16-bit samples."""

    status: int
    replica: str = ""
    samples: bytes = b""


def check(condition, text):
    """Print a result, or exit if the condition is false."""
    if not condition:
        sys.exit(f"ray-test: FAILED: {text}")
    print(f"ray-test: {text}", flush=True)


def synthesize(address, seed):
    headers = {"Content-Type": "application/x-npy"}
    request = urllib.request.Request(f"{address}/v1/synthesize?format=pcm&seed={seed}", data=BODY, headers=headers)
    try:
        with DIRECT.open(request, timeout=60) as answer:
            return Answer(answer.status, answer.headers["X-Replica"], answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code)
    except (OSError, HTTPException):
        return Answer(0)


def synthesize_many(address, count):
    """Post the mel from several clients at once, alternating two seeds."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda i: synthesize(address, i % 2), range(count)))


def is_complete(answer):
    """Return whether a response contains the complete audio."""
    return answer.status == 200 and len(answer.samples) == 2 * FRAMES * HOP_LENGTH


def replicas():
    import ray

    actors = ray.util.list_named_actors(all_namespaces=True)
    return sorted(actor["name"] for actor in actors if actor["name"].startswith("SERVE_REPLICA::"))


def check_both_serve(address):
    """Check that both replicas serve and that a seed gives the same audio on both."""
    answers = synthesize_many(address, 40)
    check(all(map(is_complete, answers)), f"{len(answers)} requests answered: {Counter(a.status for a in answers)}")
    served = Counter(answer.replica for answer in answers)
    check(len(served) == 2, f"both replicas served: {sorted(served.values())}")
    voices = {seed: {answers[i].samples for i in range(seed, len(answers), 2)} for seed in (0, 1)}
    # Rows with other mels may round the last bit of a sample differently.
    first = [np.frombuffer(samples, "<i2").astype(int) for samples in voices[0]]
    check(all(np.abs(x - first[0]).max() <= 1 for x in first), "a seed gives the same audio on both")
    check(not voices[0] & voices[1], "another seed gives other audio")


def check_killed(address):
    """Kill a replica under load: every request ends, none with partial audio, and retries succeed."""
    import ray

    before = replicas()
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(synthesize_many, address, 80)
        time.sleep(1.0)
        ray.kill(ray.get_actor(before[0], namespace="serve"))
        answers = load.result(timeout=120)
    failed = [answer for answer in answers if not is_complete(answer)]
    statuses = Counter(answer.status for answer in answers)
    check(all(a.status in (0, 500, 502, 503, 504) for a in failed), f"a replica killed under load: {dict(statuses)}")
    check(all(is_complete(synthesize(address, 0)) for _ in failed), f"all {len(failed)} succeed when retried")
    deadline = time.monotonic() + 120
    while len(set(replicas()) - {before[0]}) < 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    seen = set()
    while len(seen) < 2 and time.monotonic() < deadline:
        seen |= {answer.replica for answer in synthesize_many(address, 8) if is_complete(answer)}
    check(len(seen) == 2 and before[0].split("#")[-1] not in seen, "another replica took its place")


def check_bulk(folder):
    (folder / "mels").mkdir()
    for i in range(40):
        (folder / "mels" / f"{i:02}.npy").write_bytes(BODY)
    (folder / "mels" / "bad.npy").write_text("not a mel")
    (folder / "mels" / "00.npy").write_bytes(npy(N_MELS, FRAMES, np.array(voice_like_mel(N_MELS)) + 5))
    command = [sys.executable, str(ROOT / "deploy" / "ray_bulk.py"), str(folder / "mels"), "-o", str(folder / "audio")]
    command += ["--seed", "3"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    told = ("40 synthesized", "1 failed", "1 from mels that are not typical")
    check(all(part in first.stdout for part in told), f"Ray Data: {first.stdout.strip()}")
    check(first.returncode == 2 and "bad.npy: this is not an npy file" in first.stderr, "failed files are reported")
    check("40 there already" in second.stdout, f"again: {second.stdout.strip()}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main():
    if importlib.util.find_spec("ray") is None:
        print("ray-test: skipped, Ray is not installed (pip install -c constraints.txt '.[server,ray]')")
        return
    os.environ["VOCODER_DTYPE"] = "float32"  # so that the audio of a mel is the same on every replica and in every row
    os.environ |= PATIENCE | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    sys.path.insert(0, str(ROOT))
    import ray
    from ray import serve

    from deploy.ray_app import Placement, app

    options = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "log_to_driver": False}
    ray.init(num_cpus=2, object_store_memory=100 << 20, **options)
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app(Placement(replicas=2, cpus=0.5)), name="vocoder")
    address = f"http://127.0.0.1:{port}"
    check(DIRECT.open(f"{address}/readyz", timeout=10).status == 200, "two replicas are ready")
    check_both_serve(address)
    check_killed(address)
    serve.shutdown()
    ray.shutdown()
    with tempfile.TemporaryDirectory() as folder:
        check_bulk(Path(folder))
    check(True, "passed")


if __name__ == "__main__":
    main()
