import json
import math
import re

import numpy as np
import pytest
from recordings import mel_of
from scipy.ndimage import gaussian_filter

from vocoder.cli import main


@pytest.fixture
def mel(tmp_path):
    np.save(tmp_path / "mel.npy", mel_of("nvidia").numpy())
    return tmp_path / "mel.npy"


def test_check_reports_a_verdict_and_how_far_smooth_mels_are_sharpened(mel, tmp_path, capsys):
    decimal = tmp_path / "decimal.npy"
    np.save(decimal, np.load(mel) / np.float32(math.log(10.0)))
    assert main(["check", str(mel)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{mel}: typical. The mel follows its mel config. ")
    assert " It is more typical than " in out
    assert out.endswith(" % of true mels. The check cannot tell it from hifigan mels.\n")
    assert main(["check", str(mel), "--preset", "hifi-gan"]) == 0
    assert "The check cannot tell it from nvidia mels." in capsys.readouterr().out
    assert main(["check", str(mel), str(decimal)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    expected = "log10. The mel looks like decimal logarithms: multiply by ln(10) = 2.302585."
    assert (": typical. " in first, second) == (True, f"{decimal}: {expected}")
    assert main(["check", "--json", str(decimal)]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict.keys() >= {"mel", "model", "mel_config", "typicality", "message", "preset", "adapted", "likeliest"}
    assert (verdict["mel"], verdict["typical"], verdict["cause"]) == (str(decimal), False, "log10")
    smooth = tmp_path / "smooth.npy"
    np.save(smooth, gaussian_filter(np.load(mel), (1.0, 1.0)))
    assert main(["check", str(smooth)]) == 0
    out = capsys.readouterr().out
    assert "It is smooth, as predicted mels are, and will be sharpened by 1.0 at its end." in out
    assert " It is more typical than 99 % of true mels." in out
    main(["check", "--json", str(mel), str(smooth)])
    assert [json.loads(line)["smoothness"] for line in capsys.readouterr().out.splitlines()] == [0.0, 1.0]


def test_check_and_synthesize_report_the_same_errors(mel, tmp_path, capsys, cli_error):
    (tmp_path / "text.npy").write_text("no array")
    assert main(["check", str(tmp_path / "text.npy"), str(tmp_path), "--", str(mel)]) == 2
    captured = capsys.readouterr()
    assert re.search(f"this is not an npy file.*\n.*{tmp_path}: it is a folder, not a file\n$", captured.err)
    assert ": typical. " in captured.out
    assert main(["check", str(mel), "--preset", "vocos"]) == 1
    out = capsys.readouterr().out
    assert "bands. The mel must be (100, frames) with at least one frame, not (80, " in out
    assert "): 'vocos' has 100 bands; presets with 80 bands are nvidia, hifigan, " in out
    for command in (["check"], ["synthesize", "-o", str(tmp_path / "a.wav")]):
        error = cli_error(main, *command, mel, "--model", "reverse-24k", "--preset", "nvidia")
        assert ": use the shipped model 'reverse', because 'nvidia' mels " in error
        main([*command, str(mel), "--model", "reverse-24k"])
        captured = capsys.readouterr()
        assert "; use the shipped model 'reverse' for presets with 80 bands" in captured.out + captured.err
    np.save(tmp_path / "vocos.npy", mel_of("vocos").numpy() - 5.0)  # its floor is lower than that of F5-TTS
    hint = "The values fit the preset vocos, which the shipped model 'reverse-24k' takes: pass --preset vocos."
    assert main(["check", "--preset", "f5-tts", str(tmp_path / "vocos.npy")]) == 1
    assert hint in capsys.readouterr().out
    assert hint in cli_error(main, "synthesize", "--preset", "f5-tts", tmp_path / "vocos.npy", "-o", tmp_path / "a.wav")


def test_a_mel_of_another_preset_is_judged_with_its_adapter(tmp_path, capsys):
    mel = str(tmp_path / "vocos.npy")
    np.save(mel, mel_of("vocos").numpy())
    assert main(["check", "--json", "--preset", "vocos", mel]) == 0
    assert json.loads(capsys.readouterr().out)["adapted"] == "vocos"
    np.save(tmp_path / "f5.npy", mel_of("f5-tts").numpy())
    assert main(["check", "--preset", "f5-tts", str(tmp_path / "f5.npy")]) == 0
    expected = "reverse takes it through the vocos adapter, which reverse-24k does not need.\n"
    assert capsys.readouterr().out.endswith(expected)
    assert main(["check", "--model", "reverse-24k", mel]) == 0
    assert "adapter" not in capsys.readouterr().out
    assert main(["check", mel]) == 1
    told = "fireredtts: pass --preset NAME; the shipped model 'reverse-24k' uses vocos itself"
    assert told in capsys.readouterr().out
