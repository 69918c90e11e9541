"""The manifest: what is written is read back, and what is wrong is named."""

import json

import pytest

from training.corpora.manifest import Entry, Manifest, ManifestError, read_manifest, write_manifest


def entry(path="a.flac", speaker="anna", split="train", **changes):
    values = {"corpus": "c", "duration": 1.5, "sample_rate": 22050, "licence": "CC0-1.0", **changes}
    return Entry(path=path, speaker=speaker, split=split, **values)


def write_lines(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def as_line(**changes):
    fields = {"path": "a.flac", "corpus": "c", "speaker": "s", "split": "train", "duration": 1.0}
    return json.dumps({**fields, "sample_rate": 22050, "licence": "x", **changes})


def test_round_trip_keeps_every_field_and_the_order(tmp_path):
    entries = (
        entry("b/ü.flac", duration=0.1, bandwidth=3800.0, use="evaluate", synthetic=True),
        entry("a.flac", "bert", "test"),
    )
    write_manifest(tmp_path / "manifest.jsonl", entries)
    assert read_manifest(tmp_path, check_files=False).entries == entries


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("not json", "line 2"),
        (as_line(path="../secret.flac"), "inside the manifest's folder"),
        (as_line(path="/etc/a.flac"), "must be relative"),
        (as_line(path=""), "path must be relative"),
        (as_line(mel="../a.npy"), "mel must be relative"),
        (as_line(split="dev"), "split"),
        (as_line(duration=-1.0), "duration"),
        (as_line(duration=float("nan")), "duration"),
        (as_line(sample_rate=0), "sample_rate"),
        (as_line(bandwidth=0.0), "bandwidth"),
        (as_line(bandwidth=11026.0), "bandwidth"),
        (as_line(use="listen"), "use"),
        (as_line(colour="red"), "no field colour"),
        (as_line(speaker=""), "speaker"),
        (as_line(path="first.flac"), "twice"),
        (as_line(sample_rate=16000), "16000, 22050"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, words):
    path = write_lines(tmp_path / "manifest.jsonl", as_line(path="first.flac"), line)
    with pytest.raises(ManifestError, match=words):
        read_manifest(path, check_files=False)


def test_a_missing_or_empty_manifest_and_missing_audio_are_errors(tmp_path):
    with pytest.raises(ManifestError, match="no manifest at"):
        read_manifest(tmp_path)
    path = write_lines(tmp_path / "manifest.jsonl")
    with pytest.raises(ManifestError, match="lists no utterance"):
        read_manifest(path)
    (tmp_path / "b.flac").touch()
    for line, missing in ((as_line(), r"a\.flac"), (as_line(path="b.flac", mel="a.npy"), r"a\.npy")):
        write_lines(path, line)
        with pytest.raises(ManifestError, match=f"{missing}, which does not exist"):
            read_manifest(path)


def test_a_refused_write_leaves_the_old_manifest(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [entry()])
    before = path.read_bytes()
    with pytest.raises(ManifestError, match="twice"):
        write_manifest(path, [entry(), entry()])
    assert path.read_bytes() == before


def test_selection_and_speakers(tmp_path):
    rows = (entry("1", "bert"), entry("2", "anna", "test"), entry("3", "carl", "test"), entry("4", "anna"))
    manifest = Manifest(tmp_path, rows)
    assert manifest.speakers == ("anna", "bert", "carl")
    assert manifest.trained_speakers == ("anna", "bert")
    assert [e.path for e in manifest.select("test")] == ["2", "3"]
    assert [e.path for e in manifest.select("test", manifest.trained_speakers)] == ["2"]
    with pytest.raises(ManifestError, match="unknown speaker dora"):
        manifest.select("test", ["dora"])
    with pytest.raises(ManifestError, match="no train utterance"):
        manifest.select("train", ["carl"])


def test_a_manifest_of_before_has_no_bandwidth_and_was_made_to_train_on(tmp_path):
    path = write_lines(tmp_path / "manifest.jsonl", as_line())
    found = read_manifest(path, check_files=False).entries[0]
    assert (found.bandwidth, found.use, found.synthetic) == (None, "train", False)
    assert found.band_edge == 11025
    assert entry(bandwidth=7600.0).band_edge == 7600


def test_training_on_what_is_for_evaluation_alone_is_refused_for_its_licence(tmp_path):
    rows = (entry("1"), entry("2", "bert", use="evaluate", licence="GPL-2.0"), entry("3", "bert", "test"))
    manifest = Manifest(tmp_path, rows)
    with pytest.raises(ManifestError, match=r"c \(GPL-2.0\).*for evaluation alone: weights trained on it.*licence"):
        manifest.select("train")
    assert [e.path for e in manifest.select("train", ["anna"])] == ["1"]
    assert [e.path for e in manifest.select("test")] == ["3"]
