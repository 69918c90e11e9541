"""A prepared corpus of synthetic voices and a synthesizer without a model."""

from types import SimpleNamespace

import numpy as np
import soundfile
import yaml

from training.corpora.manifest import Entry, read_manifest, write_manifest
from training.corpora.pitch import label_hop
from vocoder.mel.config import preset

RATE = 22050


def voice(f0, seconds, seed=0):
    """Return syllables of harmonics with a little noise."""
    time = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * n * f0 * time) / n for n in range(1, 11))
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return np.asarray(0.1 * tone * (0.05 + np.sin(4 * np.pi * time) ** 2) + 1e-3 * noise, dtype=np.float32)


def write_recordings(folder, *recordings, rate=RATE):
    """Write audio as 0.flac and so on, with the given fields in its line of the manifest."""
    entries = []
    for i, (x, fields) in enumerate(recordings):
        soundfile.write(folder / f"{i}.flac", x, rate, subtype="PCM_16")
        defaults = {"corpus": "c", "speaker": "s", "split": "train", "licence": "CC0-1.0", "duration": len(x) / rate}
        entries.append(Entry(**{"path": f"{i}.flac", "sample_rate": rate, **defaults, **fields}))
    write_manifest(folder / "manifest.jsonl", entries)
    return read_manifest(folder)


def write_given(root, mel_config, plan):
    """Write noise for each (split, samples, with_mel), and mels where requested: frame i is -8 + i / 100."""
    recordings = []
    for number, (split, samples, with_mel) in enumerate(plan):
        x = 0.1 * np.random.default_rng(number).standard_normal(samples)
        if with_mel:
            frame = np.float32(-8) + np.arange(mel_config.frames(samples), dtype=np.float32) / 100
            np.save(root / f"{number}.npy", np.tile(frame, (mel_config.n_mels, 1)))
        recordings.append((x, {"split": split, "mel": f"{number}.npy" if with_mel else None}))
    return write_recordings(root, *recordings, rate=mel_config.sample_rate)


def steady_pitch(x, sample_rate, speed=1.0):
    """Replace the slow `pitch.track_pitch` where labels do not matter."""
    return np.full(1 + len(x) // label_hop(sample_rate, speed), 120.0 * speed, np.float32)


def write_corpus(folder):
    """Write utterances of a trained and an unseen voice, one too short; return the path of the manifest."""
    plan = [
        ("low", "train", 1.0, 100.0),
        ("low", "test", 1.0, 110.0),
        ("low", "test", 1.2, 120.0),
        ("low", "test", 0.4, 120.0),
        ("high", "test", 1.0, 220.0),
        ("high", "test", 1.1, 230.0),
    ]
    fields = {"corpus": "synthetic", "licence": "none"}
    recordings = [
        (voice(f0, seconds, seed=i), {**fields, "speaker": speaker, "split": split})
        for i, (speaker, split, seconds, f0) in enumerate(plan)
    ]
    return write_recordings(folder, *recordings).root / "manifest.jsonl"


def write_settings(folder, model, **changes):
    """Write a corpus and the settings of a short training run; return the path of the settings."""
    (folder / "corpus").mkdir()
    settings = {
        "manifest": str(write_corpus(folder / "corpus")),
        "output": str(folder / "run"),
        "model": model,
        "segments": {"segment_length": 4096, "epoch_length": 4},
        "validation_items": 2,
        "trainer": {"steps": 4, "batch_size": 2, "validation_steps": 2, "initialisation_batches": 2, "device": "cpu"},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings | changes))
    return folder / "settings.yaml"


def touch(root, *names):
    """Write empty files and their folders."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def fake_programs(folder, monkeypatch, programs):
    """Write shell scripts by name, and let them be the first programs of the path."""
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


class NoiseVocoder:
    """Outputs white noise for any mel."""

    weights_sha256 = None

    def __init__(self, name="noise"):
        self.name = name
        self.mel_config, self.provenance = preset("nvidia"), {}
        self.model = SimpleNamespace(config=SimpleNamespace(corrections=0))

    def synthesize(self, mel, *, sigma=None, seed=None, **options):
        """Return (frames * hop_length,) of noise with standard deviation `sigma`, 0.05 if left out."""
        length = mel.shape[1] * self.mel_config.hop_length
        level = 0.05 if sigma is None else sigma
        return (level * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)
