import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from http_helpers import npy

import vocoder
from server.cli import main, prepare_computing

pytestmark = pytest.mark.usefixtures("own_logging")


def test_a_model_is_served_until_a_signal(model, new_mel, wait_until, capfd):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def use_and_stop():
        try:
            wait_until(lambda: is_ready(f"{url}/readyz"))
            query = "seed=5&sigma=0.6&denoise=0.2&format=npy"
            response = httpx.post(f"{url}/synthesize?{query}", content=npy(new_mel()), timeout=60.0)
            return httpx.get(f"{url}/models/tiny", timeout=60.0).json(), response
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:  # signals go to the main thread, so the server runs there
        client = pool.submit(use_and_stop)
        assert main(["--port", str(port), "--model", str(model), "--log-level", "warning"]) == 0
    info, response = client.result(0.0)
    assert capfd.readouterr().out.splitlines()[0] == f"vocoder-serve: ready on {url} (tiny)"
    assert (info["name"], info["family"], info["mel"]["name"]) == ("tiny", "waveglow", "nvidia")
    expected = vocoder.load(model, guard="off").synthesize(new_mel(), sigma=0.6, seed=5, denoise=0.2)
    np.testing.assert_allclose(np.load(io.BytesIO(response.content)), expected, atol=1e-3)


def is_ready(url):
    try:
        return httpx.get(url, timeout=60.0).status_code == 200
    except httpx.TransportError:
        return False


def test_unavailable_models_and_ports_are_reported(tmp_path, capfd, model):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--port", "0", "--model", str(tmp_path), "--log-level", "warning"]) == 1
    errors = capfd.readouterr().err
    assert re.search(r"^vocoder-serve: cannot load model .*config\.json", errors, re.MULTILINE)
    assert "Traceback" not in errors
    assert signal.getsignal(signal.SIGTERM) == before
    assert main(["--port", "0", "--model", "revers"]) == 1
    errors = capfd.readouterr().err
    assert re.fullmatch(r"vocoder-serve: cannot load model revers: .*; did you mean reverse?.*\n", errors)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--port", port, "--model", str(model), "--log-level", "error"]) == 1
    message = f"vocoder-serve: cannot listen on 127.0.0.1:{port}: Address already in use; --%s chooses another port\n"
    assert capfd.readouterr() == ("", message % "port")
    assert (main(["--port", port, "--admin-port", port]), capfd.readouterr()) == (1, ("", message % "admin-port"))
    twin = shutil.copytree(model, tmp_path / "twin" / "tiny")
    assert main(["--port", "0", "--model", str(model), "--model", str(twin), "--log-level", "error"]) == 1
    assert capfd.readouterr().err == "vocoder-serve: every model needs a unique name, but these are tiny, tiny\n"


def test_invalid_settings_are_reported(monkeypatch, capsys):
    assert main(["--port", "70000"]) == 2
    assert "--port: Input should be less than or equal to 65535" in capsys.readouterr().err
    monkeypatch.setenv("VOCODER_MODEL", "student")
    monkeypatch.setenv("VOCODER_CONTRACTS", "/nope")
    assert main(["--port", "0"]) == 2
    unknown, missing = capsys.readouterr().err.splitlines()
    assert unknown == "vocoder-serve: there is no setting VOCODER_MODEL (did you mean VOCODER_MODELS?)"
    assert missing == "vocoder-serve: there is no directory /nope of mel configs"
    monkeypatch.setenv("VOCODER_MAX_CONNECTIONS", str(10**9))
    assert main(["--port", "0"]) == 2
    assert "needs 2000000256 open files, and this process may open" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--port", "8000", "--port", "9000"])
    assert "argument --port: give it once" in capsys.readouterr().err


def test_thread_spinning_is_limited_before_torch_is_loaded():
    for initial in ({"HOME": "/"}, {"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "active"}):
        environment = dict(initial)
        prepare_computing(environment)
        assert environment == initial | ({"GOMP_SPINCOUNT": "10000"} if "HOME" in initial else {})
    code = "import sys, server.cli; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]
