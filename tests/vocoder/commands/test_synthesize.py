import json
import math
import re

import numpy as np
import pytest
import soundfile
from recordings import mel_of
from scipy.ndimage import gaussian_filter

from vocoder.cli import main
from vocoder.config import to_dict
from vocoder.mel.config import preset


def synthesize(*arguments, model, guard="off"):
    return main(["synthesize", "--guard", guard, *map(str, arguments), "--model", str(model)])


@pytest.fixture
def mel(write_mels):
    return write_mels(12) / "00.npy"


def read(path):
    x, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 22050
    return x


def test_an_unlikely_mel_is_rejected_or_synthesized_with_a_warning(model, tmp_path, capsys):
    mel = mel_of("nvidia").numpy()
    np.save(tmp_path / "right.npy", mel)
    np.save(tmp_path / "log10.npy", mel / math.log(10))
    doubt = r"vocoder synthesize: warning: \S+/log10\.npy: The mel looks like decimal logarithms.*\n"
    clipped = r"vocoder synthesize: warning: \S+/log10\.wav: clipped \d+ samples to full scale\n"
    for i, names in enumerate((["log10"], ["right", "log10"])):
        out, files = tmp_path / ("many" if i else "one.wav"), [tmp_path / f"{name}.npy" for name in names]
        assert synthesize(*files, "-o", out, model=model, guard="strict") == 2
        assert re.fullmatch(doubt.replace("warning: ", ""), capsys.readouterr().err)
        assert synthesize(*files, "-o", out, model=model, guard="warn") == 0
        captured = capsys.readouterr()
        assert re.fullmatch(doubt + clipped * i, captured.err)
    assert re.search("1 synthesized .* 1 there already, .* 1 from mels that are not typical", captured.out)
    assert synthesize(*files, "-o", tmp_path / "auto", "--preset", "auto", model=model) == 0
    assert "; 1 recognised as nvidia; 1 recognised as nvidia in decimal logarithms\n" in capsys.readouterr().out


def test_the_strength_of_sharpening_is_printed(mel, model, write_mels, tmp_path, capsys):
    np.save(tmp_path / "smooth.npy", gaussian_filter(np.load(write_mels(200, folder="long") / "00.npy"), (2.0, 2.0)))
    for source, options, expected in (
        (mel, (), ""),
        (mel, ("--sharpen", 0.5), ", sharpened by 0.5"),
        (tmp_path / "smooth.npy", (), ", sharpened by 1.0"),
        (tmp_path / "smooth.npy", ("--sharpen", 0), ""),
    ):
        assert synthesize(source, "-o", tmp_path / "a.wav", *options, model=model) == 0
        assert f" s{expected}, peak " in capsys.readouterr().out


def test_invalid_arguments_are_rejected(mel, model, tmp_path, cli_error):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / mel.name).write_bytes(mel.read_bytes())
    same_names = mel, tmp_path / "other" / mel.name
    (tmp_path / "empty").mkdir()
    invalid = [
        ((mel, "-o", tmp_path / "other", "--workers", "0"), "--workers and --row-frames must be 1 or more"),
        ((mel, "-o", tmp_path / "other", "--sigma", "-1"), "sigma must be a number from 0 to 2, or left out, not -1.0"),
        ((*same_names, "-o", tmp_path / "out"), "several files would be written to"),
        ((tmp_path / "empty", "-o", tmp_path / "out"), "no npy files"),
        ((mel, "-o", tmp_path / "a.xyz"), "unknown format 'xyz'"),
        ((mel, "-o", tmp_path / "a.flac", "--format", "wav_f32"), "a.flac as wav_f32: its suffix means another format"),
        ((mel, "-o", tmp_path / "a.wav", "--preset", "espnet", "--adapt", "off"), "f_min is 80.0, not 0.0"),
        ((mel, "-o", tmp_path / "a.wav", "--preset", "nowhere.yaml"), "cannot read nowhere.yaml: No such file"),
        ((mel, "-o", tmp_path / "a.wav", "--statistics", "stats.npz"), "statistics need the preset"),
        ((mel, "-o", tmp_path / "absent" / "a.wav"), "absent"),
    ]
    for arguments, reason in invalid:
        error = cli_error(main, "synthesize", *arguments, "--model", model)
        assert error.startswith("vocoder synthesize: ")
        assert reason in error
    assert not (tmp_path / "a.wav").exists()


def test_a_mel_config_file_and_statistics_can_be_given(model, tmp_path):
    mel = mel_of("espnet")[:, :40].numpy()
    mean, variance = mel.mean(axis=1), mel.var(axis=1) + 0.1
    np.save(tmp_path / "plain.npy", mel)
    np.save(tmp_path / "normalised.npy", (mel - mean[:, None]) / np.sqrt(variance)[:, None])
    np.savez(tmp_path / "stats.npz", mean=mean, variance=variance)
    (tmp_path / "ours.json").write_text(json.dumps({**to_dict(preset("espnet")), "name": "ours"}))
    given = ["--preset", tmp_path / "ours.json", "--statistics", tmp_path / "stats.npz"]
    for name, options in (("plain", ["--preset", "espnet"]), ("normalised", given)):
        out = tmp_path / f"{name}.wav"
        assert synthesize(tmp_path / f"{name}.npy", "-o", out, "--seed", "1", *options, model=model) == 0
    np.testing.assert_allclose(read(tmp_path / "normalised.wav"), read(tmp_path / "plain.wav"), rtol=0, atol=1e-3)
