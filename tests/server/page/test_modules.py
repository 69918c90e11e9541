"""The page's modules in node: they can be imported and agree with NumPy, soundfile and the server."""

import importlib.util
import io
import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from http_helpers import npy

from vocoder.audio.writing import Origin, audio_info
from vocoder.config import to_dict
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram, mel_filterbank

MODULES = Path(__file__).parents[3] / "server" / "pages" / "js"
WINDOWLESS = ("noise", "npy", "spectra", "wav")  # modules that need no window
NAMES = sorted(str(path.relative_to(MODULES)) for path in MODULES.rglob("*.js"))


def find_node():
    spec = importlib.util.find_spec("playwright")
    inside = Path(str(spec.origin)).parent / "driver" / "node" if spec else None
    return shutil.which("node") or (str(inside) if inside and inside.is_file() else None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs JavaScript on `given`, with the modules' functions, and returns the result."""
    if (node := find_node()) is None:
        pytest.skip("there is no node here")
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(MODULES, folder / "js")
    (folder / "package.json").write_text('{"type": "module"}')

    def run(body, given=None):
        script = f"""import {{ readFileSync }} from "node:fs";
            for (const name of {list(WINDOWLESS)}) Object.assign(globalThis, await import(`./js/${{name}}.js`));
            const main = async (given) => {{ {body} }};
            console.log(JSON.stringify(await main(JSON.parse(readFileSync(0, "utf8")))));"""
        (folder / "script.js").write_text(script)
        done = subprocess.run([node, "script.js"], cwd=folder, input=json.dumps(given), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_every_module_can_be_imported(run):
    """A missing export is a SyntaxError; modules that need a window fail later with other errors."""
    script = """const wrong = [];
      for (const name of given) {
        await import(`./js/${name}`).catch((error) => {
          if (!(error instanceof ReferenceError || error instanceof TypeError)) wrong.push(`${name}: ${error}`);
        });
      }
      return wrong;"""
    assert len(NAMES) > 10
    assert run(script, NAMES) == []


def test_noise_is_normally_distributed(run):
    script = """return [...noise(100000, 0.5)];"""
    found = np.array(run(script)) / 0.5
    assert np.isfinite(found).all()
    moments = [(found**power).mean() for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0.0, 1.0, 0.0, 3.0], atol=0.15)  # seven standard errors
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.03


def test_spectra_agree_with_numpy(run):
    x = np.random.default_rng(5).standard_normal(900).astype(np.float32)
    found = run("return spectrogram(Float32Array.from(given), 256, 100);", x.tolist())
    assert (found["frames"], found["bins"]) == (10, 129)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x.astype(np.float64), 128), 256)[::100][:10]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(256) / 256)
    expected = 20.0 * np.log10(np.maximum(4.0 / 256 * np.abs(np.fft.rfft(window * frames)), 1e-7))
    np.testing.assert_allclose(np.reshape(list(found["levels"].values()), (10, 129)), expected, atol=1e-3)


@pytest.mark.parametrize("centre", ["reflect", "same"])
@pytest.mark.parametrize("log", ["ln", "log10"])
def test_mels_agree_with_those_of_the_server(run, centre, log):
    framing = {"n_fft": 64, "win_length": 48, "hop_length": 16, "n_mels": 5, "centre": centre}
    config = MelConfig("tiny", 8000, **framing, f_min=0.0, f_max=4000.0, log=log)
    x = 0.1 * np.random.default_rng(2).standard_normal(300).astype(np.float32)
    expected = MelSpectrogram(config)(torch.from_numpy(x)[None])[0].numpy()
    script = """const bank = { values: Float32Array.from(given.bank), nMels: 5, frames: 33 };
      const mel = melOf(Float32Array.from(given.x), given.config, bank);
      return [mel.frames, ...mel.values];"""
    bank = mel_filterbank(config).float().flatten().tolist()
    frames, *values = run(script, {"x": x.tolist(), "config": to_dict(config), "bank": bank})
    assert frames == expected.shape[1]
    np.testing.assert_allclose(np.reshape(values, expected.shape), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_of_numpy_are_read(run, dtype, order):
    mel = np.random.default_rng(3).standard_normal((5, 7)).astype(dtype)
    mel[0, :3] = 0.0, 3.0e-7, -2.0  # the second is subnormal in 16 bits
    script = """const read = await readNpy(new Blob([Uint8Array.from(given)]));
      return read && [read.nMels, read.frames, [...read.values]];"""
    found = run(script, list(npy(np.asarray(mel, order=order))))
    if found is None and dtype == "<f2" and not run("return 'Float16Array' in globalThis"):
        pytest.skip("this node has no 16-bit floats")
    *shape, values = found
    assert shape == [5, 7]
    np.testing.assert_array_equal(np.float32(np.reshape(values, (5, 7))), mel.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("a.wav", "RIFF....WAVEfmt data", "recording"), ("a.npz", "PK..", "mel"), ("a", "?", "recording")],
)
def test_files_that_are_not_mels_are_left_to_the_server(run, name, content, kind):
    script = """const { kind, mel } = await readInput(new File([given.content], given.name));
      return [kind, mel];"""
    assert run(script, {"name": name, "content": content}) == [kind, None]


def test_settings_fixed_in_a_program_are_rejected_in_the_browser(run):
    script = """const { synthesize } = await import("./js/local.js");
      const model = { plain: "tiny", mel: { n_mels: 2 }, least_frames: 1, corrections: 6 };
      const settings = { sigma: "", seed: "", denoise: "", corrections: "", sharpen: "", preset: "" };
      const mel = writeNpy({ values: new Float32Array(6), nMels: 2, frames: 3 });
      const error = (setting) => synthesize(mel, { ...settings, ...setting }, model).catch(({ message }) => message);
      return Promise.all(given.map(error));"""
    fixed = {"seed": "7", "denoise": "0.5", "corrections": "40", "sharpen": "0", "preset": "espnet"}
    messages = ("supports seeds", "remove hum", "makes 6 corrections", "change the sharpening", "of other presets")
    for word, error in zip(messages, run(script, [{name: value} for name, value in fixed.items()]), strict=True):
        assert word in error


def test_written_npy_and_wav_files_are_read_by_other_libraries(run):
    mel = np.random.default_rng(4).standard_normal((5, 7)).astype(np.float32)
    script = """const file = writeNpy({ values: Float32Array.from(given), nMels: 5, frames: 7 });
      return [...new Uint8Array(await file.arrayBuffer())];"""
    np.testing.assert_array_equal(np.load(io.BytesIO(bytes(run(script, mel.flatten().tolist())))), mel)
    x = [0.0, 0.5, -0.25, 1.5, -2.0]
    script = """const { sound, clipped } = wavOf(Float32Array.from(given.x), 22050, given.origin, "1.2.3");
      return [clipped, [...new Uint8Array(await sound.arrayBuffer())]];"""
    origin = Origin("müde", "1.2.3", 7)
    clipped, content = run(script, {"x": x, "origin": json.dumps(asdict(origin), ensure_ascii=False)})
    found, rate = soundfile.read(io.BytesIO(bytes(content)), dtype="int16")
    assert (clipped, rate, found.tolist()) == (2, 22050, [0, 16384, -8192, 32767, -32768])
    info = audio_info(io.BytesIO(bytes(content)))
    assert (info.program, info.origin) == (origin.program, origin)
