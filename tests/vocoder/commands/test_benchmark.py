import json

import pytest

from vocoder.cli import main


@pytest.fixture(autouse=True)
def _small_products(monkeypatch):
    monkeypatch.setattr("vocoder.timing.MATRIX_SIZE", 64)


def test_each_length_has_a_line_and_speed_is_audio_over_time(model, capsys, refusal):
    arguments = ["benchmark", "--model", str(model), "--seconds", "0.1", "0.3", "--repetitions", "1"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{model}, ")
    assert "threads, PyTorch" in lines[0]
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| 0.1 s", "| 0.3 s", "| first chunk of a stream"]
    assert main([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    length = round(0.3 * 22050 / 256) * 256 / 22050
    assert figures["times_real_time"]["0.3 s"] == pytest.approx(length / figures["seconds"]["0.3 s"])
    for wrong in (["--seconds", "0"], ["--repetitions", "0"], ["--seconds", "1", "-2"]):
        assert refusal(main, "benchmark", "--model", model, *wrong).startswith("vocoder benchmark: ")
