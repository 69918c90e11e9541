"""Reading checkpoints without running code from them, and the import command."""

import io
import json
import os
import pickle
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from foreign_files import pickled_waveglow, r9y9_state, save, waveglow_state

from vocoder.checkpoint import CheckpointError
from vocoder.cli import main
from vocoder.importers.unpickling import LEGACY_START, read_pickled
from vocoder.importers.weights import read_weights
from vocoder.loading import load


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def attacks(witness):
    write = f"open({str(witness)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, f"touch {witness}"),
        "subprocess": Call(subprocess.call, ["touch", str(witness)]),
        "eval": Call(eval, write),
        "exec": Call(exec, write),
        "getattr": Call(getattr, "text", "upper"),
        "import": Call(__import__, "os"),
        "nested torch.load": Call(torch.load, str(witness)),
        "nested pickle": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {witness}"))),
        "open": Call(open, str(witness), "w"),
    }


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_files_that_would_run_code_are_rejected(tmp_path, legacy):
    witness, weights = tmp_path / "witness", waveglow_state()
    for attack in attacks(witness).values():
        file = save(tmp_path / "hostile.pt", {**weights, "upsample.extra": attack}, legacy=legacy)
        with pytest.raises(CheckpointError, match="which no checkpoint needs and which is not run"):
            read_weights(file)
        assert not witness.exists()


def write_archive(path, script):
    """Write a file of `torch.save` with this script as its pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (("data.pkl", script), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", content)
    return path


def test_pickles_run_no_code_and_do_not_affect_the_next_file(tmp_path):
    witness = tmp_path / "witness"
    write_archive(tmp_path / "hostile.pt", f"cposix\nsystem\n(S'touch {witness}'\ntR.".encode())
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read_pickled(tmp_path / "hostile.pt")
    assert not witness.exists()
    # A pickle may set attributes of the objects it gets; each file gets new classes and functions.
    script = b"cglow\nWaveGlow\n}S'qualified_name'\nS'changed'\nsb."
    with pytest.raises(CheckpointError):
        read_pickled(write_archive(tmp_path / "first", script))
    assert read_pickled(write_archive(tmp_path / "second", b"cglow\nWaveGlow\n.")).qualified_name == "glow.WaveGlow"


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_truncated_files_are_rejected(tmp_path, legacy):
    file = save(tmp_path / "whole.pt", waveglow_state(), legacy=legacy)
    data = file.read_bytes()
    for share in (0.0, 0.3, 0.9, 0.999):
        file.write_bytes(data[: int(share * len(data))])
        with pytest.raises(CheckpointError, match=r"whole\.pt"):
            read_weights(file)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x00" * 4096, b"\x80\x02}q\x00."])
def test_other_files_are_rejected(tmp_path, content):
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"file\.pt"):
        read_weights(tmp_path / "file.pt")


def test_zip_bombs_and_tensors_beyond_their_storage_are_rejected(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x00" * (1 << 20))
    with pytest.raises(CheckpointError, match="compressed parts"):
        read_weights(tmp_path / "bomb.pt")
    # Make the shape in the pickle larger than the storage.
    buffer = io.BytesIO()
    torch.save({"state_dict": {"w": torch.zeros(123)}}, buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(tmp_path / "large.pt", "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("data.pkl"):
                assert data.count(b"K{\x85") == 1  # the size (123,)
                data = data.replace(b"K{\x85", b"K\xff\x85")
            out.writestr(name, data)
    with pytest.raises(CheckpointError):
        read_weights(tmp_path / "large.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_values_equal_those_of_torch_load(tmp_path, legacy):
    base = torch.randn(6, 5).half()
    state = {"plain": base, "view": base[1:, ::2].T, "alone": torch.tensor(2.0), "none": torch.zeros(0, 3)}
    weights = read_weights(save(tmp_path / "file.pt", state, legacy=legacy))
    loaded = torch.load(tmp_path / "file.pt", weights_only=True)["state_dict"]
    assert set(weights.tensors) == set(loaded)
    for name, value in loaded.items():
        assert torch.equal(weights.tensors[name], value.float())
    assert weights.step == 7


ENDLESS = {}
ENDLESS["model"] = ENDLESS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"a": torch.zeros(1), "module.a": torch.zeros(1)}}, r"with and without the prefix 'module\.'"),
        ({"epoch": 3, "optimizer": {}}, "holds epoch, optimizer, but no weights under state_dict"),
        (ENDLESS, "levels deep"),
    ],
)
def test_files_without_clear_weights_are_rejected(tmp_path, content, message):
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / "file.pt")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_weights(tmp_path / "nothing.pt")


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "generator"])
def test_other_tensors_in_the_file_are_ignored(tmp_path, wrapper):
    content = {"random_state": torch.zeros(3, dtype=torch.uint8), wrapper: {"w": torch.ones(2)}, "global_step": 5}
    weights = read_weights(save(tmp_path / "file.pt", content, wrapped=False))
    assert (set(weights.tensors), weights.step) == ({"w"}, 5)


def test_endlessly_nested_modules_are_rejected(tmp_path):
    """A pickle can put an object into itself."""
    module = b"(cglow\nWaveGlow\no\x94}(\x8c\x0b_parameters}\x8c\x08_modules}(\x8c\x06module\x8c\x01xh\x00uub."
    endless = write_archive(tmp_path / "endless.pt", module.replace(b"\x8c\x01xh\x00", b"h\x00"))
    with pytest.raises(CheckpointError, match="modules nested deeper"):
        read_weights(endless)


@pytest.mark.parametrize("double", [b"2\x86", b"q\x00h\x00\x86", b"\x94h\x00\x86"], ids=["DUP", "PUT", "MEMOIZE"])
def test_tuples_that_double_at_every_level_are_rejected(tmp_path, double):
    """Hashing the last of sixty as a key would visit 2**60 values."""
    doubled = b"".join(double.replace(b"h\x00", b"h" + bytes([n])) if b"\x94" in double else double for n in range(60))
    script = b"\x80\x04})" + doubled + b"K\x01s."
    (tmp_path / "legacy.pt").write_bytes(LEGACY_START + script)
    for path in (write_archive(tmp_path / "bomb.pt", script), tmp_path / "legacy.pt"):
        with pytest.raises(CheckpointError, match="nested tuples"):
            read_weights(path)


def arguments(tmp_path, layout):
    """Return the arguments of `vocoder import` for a small file of a layout."""
    config, statistics = tmp_path / "config.json", tmp_path / "statistics.json"
    config.write_text(json.dumps({"stacks": 2}))
    statistics.write_text(json.dumps({"mean": [0.0] * 80, "variance": [1.0] * 80}))
    end = ["-o", str(tmp_path / "model")]
    if layout == "nvidia-waveglow":
        return ["--from", layout, str(pickled_waveglow(tmp_path / "a.pt", waveglow_state())), *end]
    more = ["--config", str(config), "--statistics", str(statistics)]
    return ["--from", layout, str(save(tmp_path / "a.pth", r9y9_state(2))), *more, *end]


@pytest.mark.parametrize("layout", ["nvidia-waveglow", "r9y9-wavenet"])
def test_an_imported_file_becomes_a_model_that_synthesizes(tmp_path, capsys, layout):
    assert main(["import", *arguments(tmp_path, layout)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'model'}: 0.")
    assert "computes in float32" in out
    assert ("slower than real time" in out) == (layout == "r9y9-wavenet")
    v = load(tmp_path / "model", guard="off")
    assert v.provenance["imported"]["layout"] == layout
    x = v.synthesize(np.full((v.mel_config.n_mels, 2), -5.0, dtype=np.float32), seed=1)
    assert (v.sample_rate, x.shape) == (22050, (512,))
    assert float(x.std()) > 0


def test_a_failed_import_leaves_no_directory(tmp_path, cli_error):
    (tmp_path / "a.pt").write_bytes(b"no checkpoint")
    for layout in ("nvidia-waveglow", "r9y9-wavenet"):
        error = cli_error(main, "import", "--from", layout, tmp_path / "a.pt", "-o", tmp_path / "model")
        assert "is not a PyTorch checkpoint" in error
    assert not (tmp_path / "model").exists()
