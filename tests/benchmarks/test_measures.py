"""Computations of the benchmarks: operations, densities, golden samples, texture and serving."""

import numpy as np
import pytest
import torch
from evaluation_corpus import write_given
from tiny_models import random_synthesizer

from benchmarks import density_fitting, golden, texture
from benchmarks.arithmetic import operations
from benchmarks.density import configurations, ours, theirs
from benchmarks.density_fitting import pool
from benchmarks.golden import compare, difference, record, report
from benchmarks.hifigan import V1, HiFiGAN, published
from benchmarks.published import Peer
from benchmarks.serving_scaling import Times, simulated
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack
from vocoder.mel.config import preset


def test_operations_match_the_formulas():
    stack = WaveNetStack(3, 4, 5, WaveNetConfig(channels=16, dilations=(1, 2))).eval().requires_grad_(False)
    x, cond = torch.randn(1, 3, 40), torch.randn(1, 5, 40)
    dilated, res_skip = 2 * 3 * 16 * 32, 16 * 32 + 16 * 16
    products = 3 * 16 + 5 * 64 + dilated + res_skip + 16 * 4
    assert operations(lambda: stack(x, cond)) == 2 * 40 * products


def test_the_hifigan_generator_has_the_published_size():
    generator = HiFiGAN().eval()
    assert sum(parameter.numel() for parameter in generator.parameters()) == 925_985  # "0.92 M" in the paper
    x = generator(torch.randn(2, 80, 3))
    assert x.shape == (2, 3 * 256)
    assert 0 < x.abs().max() <= 1
    with pytest.raises(RuntimeError, match="expected input"):
        generator(torch.randn(1, 81, 3))


def test_a_published_checkpoint_of_hifigan_gives_its_generator(tmp_path):
    net = HiFiGAN(channels=V1).requires_grad_(False)
    layers = {"conv_pre": net.first} | {f"ups.{i}": layer for i, layer in enumerate(net.upsampling)}
    for i, block in enumerate(block for blocks in net.blocks for block in blocks):
        layers |= {f"resblocks.{i}.convs1.{j}": layer for j, layer in enumerate(block.dilated)}
        layers |= {f"resblocks.{i}.convs2.{j}": layer for j, layer in enumerate(block.plain)}
    state = {}
    for name, layer in (layers | {"conv_post": net.last}).items():
        g = layer.weight.norm(dim=(1, 2), keepdim=True)
        state |= {f"{name}.bias": layer.bias, f"{name}.weight_g": g, f"{name}.weight_v": 3 * layer.weight}
    torch.save({"generator": state}, tmp_path / "generator.pth")
    mel = torch.randn(80, 4)
    x = Peer(published(tmp_path / "generator.pth")).synthesize(mel.numpy(), seed=0)
    np.testing.assert_allclose(x[:-128], net(mel[None])[0, 128:], atol=1e-6)


@pytest.fixture(scope="module")
def digits():
    return density_fitting.load("digits", "", 8)


@pytest.mark.parametrize("kind", ["nice", "realnvp", "maf"])
def test_models_of_zuko_are_as_large_as_ours(digits, kind):
    config, x = configurations(digits)[kind], pool(digits.train, 1)
    mine, other = ours(config, x, 0), theirs(config, x, 0)
    assert mine.parameters == pytest.approx(other.parameters, rel=0.002)


def test_true_mels_have_texture_1_and_smooth_ones_0(tmp_path, monkeypatch, capsys):
    plan = [("test", 44100, True), ("test", 44100, False), ("train", 44100, False)]
    manifest = write_given(tmp_path, preset("nvidia"), plan)
    monkeypatch.setattr("sys.argv", ["texture", "--manifest", str(manifest.root / "manifest.jsonl")])
    assert texture.main() == 0
    rows = (line.strip("|").split("|") for line in capsys.readouterr().out.splitlines())
    *_, own, given = ([cell.strip() for cell in row] for row in rows)
    assert (own[:2], own[4:]) == (["c", "2"], ["0", "0.00"])
    assert [float(cell) for cell in own[2:4]] == pytest.approx([1, 1], abs=0.05)
    assert (given[:2], given[4:]) == (["c, given", "1"], ["1", "1.00"])


def test_recorded_audio_is_reproduced_and_a_missing_recording_gives_a_one_line_error(tmp_path, monkeypatch, capsys):
    mel = np.full((80, 12), -6.0, dtype=np.float32)
    monkeypatch.setattr("benchmarks.golden.golden_mels", lambda config: {"sentence": mel, "word": mel[:, :9]})
    synthesizer = random_synthesizer()
    monkeypatch.setattr("benchmarks.golden.loaded", lambda name: synthesizer)
    record(tmp_path, ["tiny"])
    x = np.load(tmp_path / "tiny.npz")["whole sentence"]
    assert np.array_equal(x, synthesizer.synthesize(mel, seed=7, sharpen=0, guard="off"))  # without sharpening
    assert compare(tmp_path, ["tiny"])
    kept = dict(np.load(tmp_path / "tiny.npz"))
    kept["streamed word"][0] += 0.1
    np.savez(tmp_path / "tiny.npz", **kept)
    assert not compare(tmp_path, ["tiny"])
    (tmp_path / "tiny.npz").unlink()
    monkeypatch.setattr("sys.argv", ["golden", "compare", str(tmp_path), "--models", "tiny"])
    with pytest.raises(SystemExit, match="2"):
        golden.main()
    assert capsys.readouterr().err == f"golden compare: {tmp_path / 'tiny.npz'}: No such file or directory\n"


def test_differences_are_relative_decibels_between_the_same_mels():
    x, silent = np.array([3.0, -4.0], dtype=np.float32), np.zeros(8, dtype=np.float32)
    assert difference(1.1 * x, x) == pytest.approx(-20.0, abs=1e-4)
    assert difference(x[:1], x) == float("inf")
    assert difference(silent, silent) == -float("inf")
    with pytest.raises(ValueError, match="the recorded file has"):
        report({"whole word": silent}, {"whole sentence": silent})


def test_throughput_scales_with_the_cores_until_the_interpreter_lock_limits_it():
    free = Times(prepare=0.0, run=0.1, encode=0.0, audio=3.0)
    assert [simulated(free, cores, 3 * cores) for cores in (1, 3)] == pytest.approx([30.0, 90.0], rel=0.02)
    times = Times(prepare=0.015, run=0.08, encode=0.005, audio=3.0)
    assert simulated(times, 16, 32) == pytest.approx(3.0 / 0.02, rel=0.03)
    assert simulated(times, 1, 2) == pytest.approx(30.0, rel=0.02)
