import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import psutil
import soundfile
from filelock import FileLock

from vocoder.bulk.run import RECORD_FOLDER
from vocoder.cli import main
from vocoder.loading import load


def speak(*arguments, model, guard="off"):
    return main(["synthesize", "--guard", guard, *map(str, arguments), "--model", str(model)])


def made(folder):
    """Every audio file with what changes when it is written anew."""
    found = {str(path.relative_to(folder)): path.stat() for path in sorted(folder.rglob("*.wav"))}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def test_a_killed_run_loses_nothing_and_does_nothing_twice(write_mels, model, tmp_path, wait_until, capsys):
    mels, out = write_mels(*[30] * 8), tmp_path / "out"
    held = mels / "05.npy"
    held.rename(tmp_path / "kept.npy")
    os.mkfifo(held)  # a file that does not come to an end stops the run at a known place
    command = [sys.executable, "-m", "vocoder", "synthesize", *map(str, sorted(mels.iterdir()))]
    command += ["-o", str(out), "--seed", "3", "--model", str(model), "--guard", "off"]
    command += ["--workers", "2", "--row-frames", "30"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until(lambda: len(made(out)) >= 4 or process.poll() is not None, 300.0)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: all(map(ended, workers)), 300.0)  # they follow it
    before = made(out)
    assert {f"{i:02}.wav" for i in range(4)} <= set(before) <= {f"{i:02}.wav" for i in range(5)}
    held.unlink()
    (tmp_path / "kept.npy").rename(held)
    assert speak(mels, "-o", out, "--seed", "3", model=model) == 0
    after = made(out)
    assert list(after) == [f"{i:02}.wav" for i in range(8)]
    assert {name: after[name] for name in before} == before
    assert f"{8 - len(before)} synthesized" in capsys.readouterr().out
    assert list(out.rglob("*.part")) == []
    v = load(model, guard="off")
    for i in range(8):
        expected = v.synthesize(np.load(mels / f"{i:02}.npy"), seed=3)
        x, _ = soundfile.read(out / f"{i:02}.wav", dtype="float32")
        np.testing.assert_allclose(x, expected, rtol=0, atol=1.01 / 32768)


def ended(process):
    """Whether a process is gone, or left of it only what nobody has asked for."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_is_there_is_kept_and_what_changed_is_spoken_anew(write_mels, model, tmp_path, capsys):
    mels, out = write_mels(20, 20, 20), tmp_path / "out"
    np.save(mels / "bad.npy", np.full((80, 5), np.nan, dtype=np.float32))
    assert speak(mels, "-o", out, "--seed", "3", model=model) == 2
    captured = capsys.readouterr()
    assert "3 synthesized" in captured.out
    assert captured.err.startswith(f"vocoder synthesize: {mels / 'bad.npy'}: 400 of the 400 values are not finite (")
    first = made(out)
    (mels / "bad.npy").unlink()
    shutil.copy(mels / "00.npy", mels / "03.npy")
    newer = (out / "01.wav").stat().st_mtime_ns + 1
    os.utime(mels / "01.npy", ns=(newer, newer))
    assert speak(mels, "-o", out, "--seed", "3", model=model) == 0
    assert "2 synthesized" in (text := capsys.readouterr().out)
    assert "2 there already, 0 failed" in text
    second = made(out)
    assert set(second) == {"00.wav", "01.wav", "02.wav", "03.wav"}
    assert {name for name in first if first[name] == second[name]} == {"00.wav", "02.wav"}


def test_audio_of_two_ways_of_making_it_is_not_mixed(write_mels, model, tmp_path, capsys):
    mels, out = write_mels(20, 20), tmp_path / "out"
    out.mkdir()
    (out / "00.wav").write_text("somebody's recording")
    assert speak(mels, "-o", out, "--seed", "3", model=model) == 2
    assert "that this command did not write" in capsys.readouterr().err
    assert (out / "00.wav").read_text() == "somebody's recording"
    assert speak(mels, "-o", out, "--seed", "3", "--again", model=model) == 0
    before = made(out)
    assert speak(mels, "-o", out, "--seed", "4", model=model) == 2
    assert "holds audio made with seed 3, not 4" in capsys.readouterr().err
    other = shutil.copytree(model, tmp_path / "other")
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    config["architecture"]["corrections"] = 3
    del config["config_sha256"]
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert speak(mels, "-o", out, "--seed", "3", model=other) == 2
    assert "holds audio made with model" in capsys.readouterr().err
    assert made(out) == before
    assert speak(mels, "-o", out, "--seed", "4", "--again", model=model) == 0
    assert all(before[name] != values for name, values in made(out).items())
    assert speak(mels, "-o", out, "--again", "--format", "flac", model=model) == 0
    assert {path.name for path in out.glob("*.flac")} == {"00.flac", "01.flac"}
    assert speak(mels, "-o", out, "--seed", "4", "--format", "flac", model=model, guard="strict") == 2
    assert "seed left out, not 4; guard left out, not 'strict'" in capsys.readouterr().err


def test_one_run_at_a_time(write_mels, model, tmp_path, capsys):
    mels, out = write_mels(20), tmp_path / "out"
    (out / RECORD_FOLDER).mkdir(parents=True)
    with FileLock(out / RECORD_FOLDER / "lock"):
        assert speak(mels, "-o", out, model=model) == 2
    assert "another run is writing to" in capsys.readouterr().err
    assert made(out) == {}


def test_a_file_that_cannot_be_written_leaves_nothing_half_made(write_mels, model, tmp_path, capsys):
    mels, out = write_mels(20, 20), tmp_path / "out"
    manifest = mels / "list.jsonl"
    manifest.write_text('{"mel": "00.npy", "audio": "a/b.wav"}\n{"mel": "01.npy"}\n', encoding="utf-8")
    out.mkdir()
    (out / "a").write_text("a file where a folder should be")
    assert speak(manifest, "-o", out, model=model) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"vocoder synthesize: {mels / '00.npy'}: ")
    assert captured.err.count("\n") == 1
    assert "1 synthesized" in captured.out
    assert set(made(out)) == {"01.wav"}
    assert list(out.rglob("*.part")) == []
