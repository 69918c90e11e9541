import json
import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from recordings import mel_of as heldout_mel

from training.cli import main
from training.corpora.condition import UnusableError, condition
from training.corpora.corpus import PrepareConfig
from training.corpora.layouts import scan_folder
from training.corpora.manifest import read_manifest
from training.corpora.prepare import PrepareError, prepare
from vocoder.audio.reading import AudioError
from vocoder.audio.writing import Origin, write_audio
from vocoder.config import to_dict
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import mel_of

RATE = 16000


def speech(seconds=1.0, level=0.1, seed=0, rate=RATE):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(int(seconds * rate))).clip(-0.9, 0.9).astype(np.float32)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def write(path, x, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, rate, subtype="PCM_16")


@pytest.fixture
def recordings(tmp_path):
    root = tmp_path / "in"
    for number in range(8):
        write(root / f"anna/{number}.wav", speech(0.5, level=0.02 * (number + 1), seed=number))
    write(root / "bert/clipped.wav", np.sign(speech()))
    write_audio(root / "bert/good\u2028.wav", speech(), RATE, origin=Origin("reverse"))
    (root / "anna/8.g722").write_bytes(bytes(np.random.default_rng(8).choice([0xD4, 0xF4], RATE // 4).tolist()))
    write(root / "bert/short.wav", speech(0.1))
    write(root / "bert/silent\u2028.wav", np.zeros(RATE))
    (root / "bert/torn.wav").write_bytes(b"RIFF????WAVE")
    return root


def test_all_utterances_get_the_same_level_and_rate():
    for level, rate in ((0.002, 16000), (0.05, 22050), (0.2, 48000)):
        y = condition(speech(1.0, level, rate=rate), rate, PrepareConfig())
        assert (rms(y), len(y)) == (pytest.approx(0.06, rel=1e-5), pytest.approx(22050, abs=1))


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (speech(0.29), "too short"),
        (np.zeros(0, dtype=np.float32), "too short"),
        (np.zeros(RATE, dtype=np.float32), "silent"),
        (speech(level=5e-4), "silent"),
        (np.sign(speech()), "clipped"),
        (np.where(np.arange(RATE) % 900 == 0, 1.0, speech()).astype(np.float32), "clipped"),
    ],
)
def test_unusable_recordings_are_rejected_with_a_reason(x, reason):
    with pytest.raises(UnusableError) as error:
        condition(x, RATE, PrepareConfig())
    assert error.value.reason == reason
    x = speech()
    x[:10] = 1.0  # a few samples at full scale do not count as clipping
    assert rms(condition(x, RATE, PrepareConfig())) == pytest.approx(0.06, rel=1e-5)


def test_the_folder_contains_audio_manifest_settings_and_reasons(recordings, tmp_path):
    out = tmp_path / "out"
    _, summary = prepare([scan_folder(recordings, "mine", "CC0-1.0")], out, PrepareConfig())
    manifest = read_manifest(out)
    # The usual rule would hold out only one.
    held_out = [e.path for e in manifest.entries if e.split == "test"]
    assert (len(manifest.entries), held_out) == (10, [f"audio/mine/anna/{number}.flac" for number in (1, 5, 8)])
    for entry in manifest.entries:
        x, rate = soundfile.read(manifest.root / entry.path)
        assert (rate, entry.sample_rate, entry.licence) == (22050, 22050, "CC0-1.0")
        assert entry.synthetic == (entry.speaker == "bert")  # its audio says that a model made it
        assert (entry.duration, rms(x)) == (len(x) / rate, pytest.approx(0.06, rel=1e-3))
        assert soundfile.info(manifest.root / entry.path).subtype == "PCM_16"
    skipped = [json.loads(line) for line in (out / "skipped.jsonl").read_text().split("\n")[:-1]]
    reasons = {"clipped": "clipped", "short": "too short", "silent\u2028": "silent", "torn": "unreadable"}
    assert {line["path"].rsplit("/", 1)[1].removesuffix(".wav"): line["reason"] for line in skipped} == reasons
    counts = [summary.count(text) for text in ("skipped    1  mine: ", "short.wav: ", "torn.wav")]
    assert (len(skipped), counts) == (4, [4, 1, 1])
    record = json.loads((out / "dataset.json").read_text())
    assert (record["settings"]["rms"], record["corpora"]["mine"]["licence"]) == (0.06, "CC0-1.0")


def test_running_again_only_prepares_missing_or_changed_files(recordings, tmp_path):
    out = tmp_path / "out"
    corpus = scan_folder(recordings, "mine")
    before, _ = prepare([corpus], out, PrepareConfig())
    audio = {entry.path: out / entry.path for entry in before.entries}
    stamps = {path: file.stat().st_mtime_ns for path, file in audio.items()}
    audio["audio/mine/anna/3.flac"].unlink()
    (out / "audio/mine/anna/.3.part.flac").write_bytes(b"torn by a power cut")
    write(recordings / "anna/4.wav", speech(0.7, seed=77))
    newer = audio["audio/mine/anna/4.flac"].stat().st_mtime + 10
    os.utime(recordings / "anna/4.wav", (newer, newer))
    after, _ = prepare([corpus], out, PrepareConfig())
    made = {path for path, file in audio.items() if file.stat().st_mtime_ns != stamps[path]}
    assert made == {"audio/mine/anna/3.flac", "audio/mine/anna/4.flac"}
    assert {a.path for a, b in zip(after.entries, before.entries, strict=True) if a != b} == {"audio/mine/anna/4.flac"}
    audio["audio/mine/anna/3.flac"].write_bytes(b"")
    with pytest.raises(AudioError, match=r"cannot read .*3\.flac"):
        prepare([corpus], out, PrepareConfig())


def test_other_settings_taken_names_and_unusable_corpora_are_rejected(recordings, tmp_path):
    out = tmp_path / "out"
    prepare([scan_folder(recordings, "mine")], out, PrepareConfig())
    with pytest.raises(PrepareError, match=r"rms 0.06 -> 0.1"):
        prepare([scan_folder(recordings, "mine")], out, PrepareConfig(rms=0.1))
    write(tmp_path / "quiet/1.wav", np.stack([speech(), -speech()], axis=1))
    with pytest.raises(PrepareError, match="choose another name or folder"):
        prepare([scan_folder(tmp_path / "quiet", "mine")], out, PrepareConfig())
    with pytest.raises(ValueError, match=r"no recording is usable \(its channels cancel: 1\)"):
        prepare([scan_folder(tmp_path / "quiet")], tmp_path / "other", PrepareConfig())


def test_the_command_prepares_a_corpus_and_prints_a_summary(recordings, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["prepare", str(recordings), "-o", str(out), "--jobs", "1", "--sample-rate", "8000"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert (rows["anna"], rows["bert"]) == (["9", "0.1", "0.0"], ["1", "0.0", "0.0"])
    assert "skipped    1  in: clipped" in printed
    assert read_manifest(out).sample_rate == 8000
    assert main(["prepare", str(recordings / "bert"), "-o", str(tmp_path / "one"), "--jobs", "1"]) == 0
    assert "training needs at least two usable recordings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["festvox-ru"], "festvox-ru is not a folder; for corpora known by name, use `python -m recipes"),
        (["--layout", "vctk", "."], "VCTK layout"),
        ([".", "..", "--name", "x"], "--name needs a single FOLDER"),
        ([".", "--rms", "0.1", "--mels", "."], "--rms cannot be used with --mels"),
        ([".", "--rms", "3"], "rms"),
        (["/"], "is inside /, the folder of recordings: choose an -o outside of it"),
    ],
)
def test_invalid_arguments_give_one_line_errors(tmp_path, cli_error, arguments, message):
    assert message in cli_error(main, "prepare", *arguments, "-o", tmp_path / "out")


def test_an_unknown_licence_and_a_changed_test_share_are_reported(recordings, tmp_path, capsys, cli_error):
    arguments = ["prepare", str(recordings), "--layout", "folder", "-o", str(tmp_path / "out"), "--jobs", "1"]
    assert main([*arguments, "--test-share", "0.5"]) == 0
    assert "WARNING: the licence of in is unknown" in capsys.readouterr().err
    assert sum(entry.split == "test" for entry in read_manifest(tmp_path / "out").entries) == 5
    assert main([*arguments, "--test-share", "0.5", "--licence", "CC0-1.0"]) == 0
    assert "WARNING" not in capsys.readouterr().err
    assert "prepared with test share 0.5, not None" in cli_error(main, *arguments)


def write_recording(path, seed=0):
    write(path, speech(0.6, 0.02, seed, 22050), 22050)
    return soundfile.read(path, dtype="float32")[0]


def save(folder, name, mel):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, mel)


def prepare_with_mels(tmp_path, *more):
    args = ["prepare", str(tmp_path / "in"), "--layout", "folder", "--licence", "CC0-1.0", "-o", str(tmp_path / "out")]
    return main([*args, "--jobs", "1", "--mels", str(tmp_path / "mels"), *more])


def test_recordings_with_mels_keep_their_level_and_mels(tmp_path, capsys):
    for number in range(4):
        x = write_recording(tmp_path / f"in/anna/{number}.wav", seed=number)
        mel = mel_of(x, preset("nvidia"))
        # Like HiFi-GAN: a batch of one, without the last frame.
        save(tmp_path / "mels", f"anna/{number}.npy" if number else "0.npy", mel[None, :, : len(x) // 256])
    write_recording(tmp_path / "in/anna/4.wav")
    x = write_recording(tmp_path / "in/anna/5.wav")
    save(tmp_path / "mels", "5.npy", np.zeros((80, len(x) // 256 - 2), np.float32) - 5)
    assert prepare_with_mels(tmp_path) == 0
    printed = capsys.readouterr().out
    for said in ("in: without a mel", "in: mel does not fit", "49 frames, but audio of 13230 samples has 51 or 52"):
        assert said in printed
    manifest = read_manifest(tmp_path / "out")
    assert [entry.mel for entry in manifest.entries] == [f"mels/in/anna/{number}.npy" for number in range(4)]
    assert {entry.mel_preset for entry in manifest.entries} == {"nvidia"}
    for number, entry in enumerate(manifest.entries):
        x, _ = soundfile.read(manifest.root / entry.path, dtype="float32")
        assert np.array_equal(x, soundfile.read(tmp_path / f"in/anna/{number}.wav", dtype="float32")[0])
        own = mel_of(x, preset("nvidia"))
        np.testing.assert_array_equal(np.load(manifest.root / str(entry.mel)), own[:, : len(x) // 256])
    assert json.loads((tmp_path / "out/dataset.json").read_text())["corpora"]["in"]["mel_preset"] == "nvidia"
    (tmp_path / "own.json").write_text(json.dumps(to_dict(preset("nvidia")) | {"name": "own"}))
    assert prepare_with_mels(tmp_path, "--mel", str(tmp_path / "own.json")) == 0
    (tmp_path / "own.json").unlink()  # the corpus does not need it, and may move
    assert read_manifest(tmp_path / "out").entries[0].mel_preset == replace(preset("nvidia"), name="own")


def test_mels_of_another_convention_give_a_warning_and_many_are_rejected(tmp_path, capsys):
    for number in range(2):
        write_recording(tmp_path / f"in/anna/{number}.wav")
        save(tmp_path / "mels", f"anna/{number}.npy", heldout_mel(preset("nvidia")).numpy() / np.log(10))
    assert prepare_with_mels(tmp_path) == 2  # they are of other recordings, too
    assert "WARNING: 2 of 2 mels are not typical of nvidia. The first: The mel looks like" in capsys.readouterr().err
    for number in range(2, 6):
        write_recording(tmp_path / f"in/anna/{number}.wav")
        save(tmp_path / "mels", f"anna/{number}.npy", heldout_mel(preset("nvidia")).numpy() / np.log(10))
    assert prepare_with_mels(tmp_path) == 2
    assert ": 6 of 6 mels are not typical of nvidia. The first: The mel looks like" in capsys.readouterr().err


def test_mels_of_other_recordings_are_rejected(tmp_path, capsys):
    write_recording(tmp_path / "in/a.wav")
    save(tmp_path / "mels", "b.npy", np.zeros((80, 51), np.float32))
    assert prepare_with_mels(tmp_path) == 2
    assert "has no mels of in: name each like its recording, such as a.npy" in capsys.readouterr().err
