"""Build the wheel, install it with the extra `server` into a fresh environment, and synthesize there.

    .venv/bin/python deploy/dist.py dist

Nothing of the checkout is on the path of what is tested. It prints sizes and times; `--keep FOLDER` keeps the
environment.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDING = ROOT / "examples" / "heldout.flac"
PATIENCE = 300.0  # seconds until the server is ready


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, install, synthesize; any failure ends it."""
    parser = argparse.ArgumentParser(description="Build the wheel and try it in a fresh environment.")
    parser.add_argument("output", type=Path, help="folder of the wheel")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the environment there and leave it")
    args = parser.parse_args(arguments)
    wheel = build(args.output.resolve())
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, weights of all models included")
    with tempfile.TemporaryDirectory() as folder:
        environment = (args.keep or Path(folder) / "venv").resolve()
        began = time.perf_counter()
        programs = install(wheel, environment)
        print(f"installed with [server] in {time.perf_counter() - began:.0f} s: {size(environment):.2f} GB")
        synthesize(programs, Path(folder))
        serve(programs, Path(folder))
    return 0


def build(output: Path) -> Path:
    """Return the wheel, made anew."""
    for old in output.glob("flow_vocoder-*.whl"):
        old.unlink()
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", output, ROOT)
    (wheel,) = output.glob("flow_vocoder-*.whl")
    return wheel


def install(wheel: Path, environment: Path) -> Path:
    """Make an environment of the wheel and what it asks for, nothing else; return where its programs are."""
    venv.create(environment, with_pip=True, clear=True)
    programs = environment / "bin"
    pip = (programs / "python", "-m", "pip")
    run(
        *pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt", f"flow-vocoder[server] @ {wheel.as_uri()}"
    )
    run(*pip, "check")
    return programs


def synthesize(programs: Path, folder: Path) -> None:
    """Take a recording to its mel and back, and have the file say what made it."""
    mel, speech = folder / "mel.npy", folder / "speech.wav"
    run(programs / "vocoder", "mel", RECORDING, "-o", mel, cwd=folder)
    run(programs / "vocoder", "synthesize", mel, "-o", speech, "--seed", "1", cwd=folder)
    run(programs / "vocoder", "info", speech, cwd=folder)


def serve(programs: Path, folder: Path) -> None:
    """Start the server, synthesize with it, and stop it by SIGTERM."""
    log = folder / "log"
    with log.open("wb") as lines:
        command = [str(programs / "vocoder-serve"), "--port", "0"]
        server = subprocess.Popen(command, stderr=lines, cwd=folder, env=bare())
    try:
        url = address(log, server)
        run(programs / "python", ROOT / "tests" / "deploy" / "image_probe.py", url, cwd=folder)
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(timeout=60)
    if status != 0:
        raise SystemExit(f"the server ended with status {status}: {log.read_text(errors='replace')}")


def address(log: Path, server: subprocess.Popen[bytes]) -> str:
    """Return where the server is, once it says that it is ready."""
    last = time.monotonic() + PATIENCE
    while time.monotonic() < last and server.poll() is None:
        if found := re.search(r"ready on (http:\S+?)[\s\"]", log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.2)
    raise SystemExit(f"the server did not become ready: {log.read_text(errors='replace')}")


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command to its end, without what the shell says of other Pythons."""
    subprocess.run([str(part) for part in command], check=True, cwd=cwd, env=bare())


def bare() -> dict[str, str]:
    """The environment without paths of Python's own."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def size(folder: Path) -> float:
    """Gigabytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


if __name__ == "__main__":
    sys.exit(main())
