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

from vocoder.bulk import synthesis
from vocoder.bulk.record import record_folder
from vocoder.cli import main
from vocoder.loading import load


def synthesize(*arguments, model, guard="off"):
    return main(["synthesize", "--guard", guard, *map(str, arguments), "--model", str(model)])


def written_files(folder):
    """Return the inode and modification time of every whole audio file; rewriting a file changes them."""
    found = {str(path.relative_to(folder)): path.stat() for path in sorted(folder.rglob("[!.]*.wav"))}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def test_a_killed_run_resumes_without_losing_or_repeating_work(write_mels, model, tmp_path, wait_until, capsys):
    mels, out = write_mels(*[30] * 8), tmp_path / "out"
    blocked = mels / "05.npy"
    blocked.rename(tmp_path / "kept.npy")
    os.mkfifo(blocked)  # a pipe without a writer blocks the run at a known place
    command = [sys.executable, "-m", "vocoder", "synthesize", *map(str, sorted(mels.iterdir()))]
    command += ["-o", str(out), "--seed", "3", "--model", str(model), "--guard", "off"]
    command += ["--workers", "2", "--row-frames", "30"]
    process, first = subprocess.Popen(command, start_new_session=True), {f"{i:02}.wav" for i in range(4)}
    try:
        wait_until(lambda: first <= set(written_files(out)) or process.poll() is not None, 300.0)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: all(map(has_ended, workers)), 300.0)
    before = written_files(out)
    assert first <= set(before) <= {*first, "04.wav"}
    blocked.unlink()
    (tmp_path / "kept.npy").rename(blocked)
    assert synthesize(mels, "-o", out, "--seed", "3", model=model) == 0
    after = written_files(out)
    assert list(after) == [f"{i:02}.wav" for i in range(8)]
    assert {name: after[name] for name in before} == before
    assert f"{8 - len(before)} synthesized" in capsys.readouterr().out
    assert list(out.rglob(".*.wav")) == []
    v = load(model, guard="off")
    for i in range(8):
        expected = v.synthesize(np.load(mels / f"{i:02}.npy"), seed=3)
        x, _ = soundfile.read(out / f"{i:02}.wav", dtype="float32")
        np.testing.assert_allclose(x, expected, rtol=0, atol=1.01 / 32768)


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_existing_audio_is_kept_and_changed_mels_are_synthesized_again(write_mels, model, tmp_path, capsys):
    mels, out = write_mels(20, 20, 20), tmp_path / "out"
    np.save(mels / "bad.npy", np.full((80, 5), np.nan, dtype=np.float32))
    assert synthesize(mels, "-o", out, "--seed", "3", model=model) == 2
    captured = capsys.readouterr()
    assert "3 synthesized" in captured.out
    assert captured.err.startswith(f"vocoder synthesize: {mels / 'bad.npy'}: 400 of the 400 values are not finite (")
    first = written_files(out)
    (mels / "bad.npy").unlink()
    shutil.copy(mels / "00.npy", mels / "03.npy")
    newer = (out / "01.wav").stat().st_mtime_ns + 1
    os.utime(mels / "01.npy", ns=(newer, newer))
    assert synthesize(mels, "-o", out, "--seed", "3", model=model) == 0
    assert "2 synthesized" in (text := capsys.readouterr().out)
    assert "2 there already, 0 failed" in text
    second = written_files(out)
    assert set(second) == {"00.wav", "01.wav", "02.wav", "03.wav"}
    assert {name for name in first if first[name] == second[name]} == {"00.wav", "02.wav"}


def test_audio_made_with_different_options_is_not_mixed(write_mels, model, tmp_path, capsys, monkeypatch):
    mels, out, loads = write_mels(20, 20), tmp_path / "out", []
    monkeypatch.setattr(synthesis, "load", lambda *given, **options: loads.append(given) or load(*given, **options))
    out.mkdir()
    (out / "00.wav").write_text("somebody's recording")
    assert synthesize(mels, "-o", out, "--seed", "3", model=model) == 2
    assert "that this command did not write" in capsys.readouterr().err
    assert (out / "00.wav").read_text() == "somebody's recording"
    assert synthesize(mels, "-o", out, "--seed", "3", "--again", model=model) == 0
    assert len(loads) == 1
    assert synthesize(mels / "00.npy", "-o", out, "--seed", "3", "--again", model=model) == 0
    before = written_files(out)
    assert synthesize(mels, "-o", out, "--seed", "4", model=model) == 2
    np.save(tmp_path / "new.npy", np.load(mels / "00.npy"))
    assert synthesize(tmp_path / "new.npy", "-o", out, "--seed", "4", model=model) == 2
    assert synthesize(mels / "00.npy", "-o", out, "--seed", "4", "--again", model=model) == 2
    assert synthesize(mels, "-o", out, "--seed", "4", "--again", "--device", "cuda:77", model=model) == 2
    told = capsys.readouterr().err
    assert (told.count("made with seed 3, not 4"), told.count("also the sources of 01.wav, or delete")) == (3, 1)
    other = shutil.copytree(model, tmp_path / "other")
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    config["architecture"]["corrections"] = 3
    del config["config_sha256"]
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert synthesize(mels, "-o", out, "--seed", "3", model=other) == 2
    assert "holds files made with another model" in capsys.readouterr().err
    assert written_files(out) == before
    assert synthesize(mels, "-o", out, "--seed", "4", "--again", "--dtype", "float32", model=model) == 0
    assert synthesize(mels, "-o", out, "--seed", "4", "--dtype", "bfloat16", model=model) == 2
    assert "'bfloat16'; pass --dtype float32 to vocoder synthesize, give another" in capsys.readouterr().err
    assert all(before[name] != values for name, values in written_files(out).items())
    assert synthesize(mels, "-o", out, "--again", "--format", "flac", model=model) == 0
    assert {path.name for path in out.glob("*.flac")} == {"00.flac", "01.flac"}
    assert synthesize(mels, "-o", out, "--seed", "4", "--format", "flac", model=model, guard="strict") == 2
    assert "seed left out, not 4; guard left out, not 'strict'" in capsys.readouterr().err


def test_concurrent_runs_in_one_folder_are_rejected(write_mels, model, tmp_path, capsys):
    mels, out = write_mels(20), tmp_path / "out"
    record_folder(out, "synthesize").mkdir(parents=True)
    with FileLock(record_folder(out, "synthesize") / "lock"):
        assert synthesize(mels, "-o", out, model=model) == 2
    assert "another run is writing to" in capsys.readouterr().err
    assert written_files(out) == {}


def test_a_failed_write_leaves_no_partial_file(write_mels, model, tmp_path, capsys):
    mels, out = write_mels(20, 20), tmp_path / "out"
    manifest = mels / "list.jsonl"
    manifest.write_text('{"mel": "00.npy", "audio": "a/b.wav"}\n{"mel": "01.npy"}\n', encoding="utf-8")
    out.mkdir()
    (out / "a").write_text("a file where a folder should be")
    assert synthesize(manifest, "-o", out, model=model) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"vocoder synthesize: {mels / '00.npy'}: ")
    assert captured.err.count("\n") == 1
    assert "1 synthesized" in captured.out
    assert set(written_files(out)) == {"01.wav"}
    assert list(out.rglob(".*.wav")) == []
