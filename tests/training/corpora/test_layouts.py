import dataclasses
import itertools
import json

import pytest
from evaluation_corpus import touch

from training.corpora.corpus import Corpus, CorpusError, Recording, hold_out_enough, split_recordings
from training.corpora.layouts import scan_folder, scan_ljspeech, scan_vctk
from training.corpora.manifest import Entry, Manifest, ManifestError, read_manifest, write_manifest


def corpus(recordings, unseen=False, name="c"):
    return Corpus(name, "here", "CC0-1.0", "nobody", "", tuple(recordings), unseen)


def numbered(count, speaker="s", unusable=()):
    names = [f"{i:03d}.wav" for i in range(count)]
    return [Recording(name, name, speaker, "not speech" if i in unusable else "") for i, name in enumerate(names)]


def test_the_split_takes_every_fortieth_or_an_even_share_per_speaker():
    shuffled = [r for speaker in ("b", "a") for r in reversed(numbered(90, speaker))]
    held_out = [(r.speaker, r.name) for r, split in split_recordings(corpus(shuffled)) if split == "test"]
    assert held_out == [(speaker, f"{index:03d}.wav") for speaker in "ab" for index in (7, 47, 87)]
    for speaker, share, count in (("a", 0.1, 9), ("b", 0.5, 45), ("a", 0.001, 1)):
        both = dataclasses.replace(corpus([*numbered(90, "a"), *numbered(90, "b")]), test_share=share)
        names = [r.name for r, split in split_recordings(both) if split == "test" and r.speaker == speaker]
        indices = [int(name[:3]) for name in names]
        assert len(indices) == count
        assert all(abs(b - a - 90 / count) <= 1 for a, b in itertools.pairwise(indices))


def test_small_corpora_hold_out_up_to_three_recordings():
    for count, held in ((16, [2, 8, 13]), (6, [1, 3, 5]), (5, [1, 3]), (2, [1]), (1, []), (100, [7, 47, 87])):
        split = split_recordings(corpus(numbered(count)))
        entries = [Entry(r.name, "c", "s", part, 1.0, 8000, "CC0-1.0") for r, part in split]
        assert [i for i, e in enumerate(hold_out_enough(entries)) if e.split == "test"] == held


def test_the_split_counts_unusable_recordings_and_sorts_full_names():
    plain = {r.name: split for r, split in split_recordings(corpus(numbered(60)))}
    assert {r.name: split for r, split in split_recordings(corpus(numbered(60, unusable={0, 3, 7, 20})))} == plain
    names = ["b.wav", "a-b.wav", "a.wav", "a/z.wav"]
    found = [r.name for r, _ in split_recordings(corpus(Recording(n, n, "s") for n in names))]
    assert found == ["a-b.wav", "a.wav", "a/z.wav", "b.wav"]


def test_folders_contain_speakers_and_need_audio_with_unique_names(tmp_path):
    touch(tmp_path, "x/anna/1.wav", "x/anna/deep/2.MP3", "x/._1.wav", "x/bert/1.flac", "x/3.ogg", "x/notes.txt")
    (tmp_path / "x/LICENSE").write_text("be kind")
    for link, target in (("anna/gone.wav", "nowhere.wav"), ("carl", tmp_path / "x/anna"), ("all", ".")):
        (tmp_path / "x" / link).symlink_to(target)
    found = scan_folder(tmp_path / "x", licence="cc0-1.0")
    names = {"anna": {"1.wav", "deep/2.MP3", "gone.wav"}, "bert": {"1.flac"}, "x": {"3.ogg"}}
    names["carl"] = names["anna"]
    assert {(r.speaker, r.name) for r in found.recordings} == {(s, n) for s in names for n in names[s]}
    assert (found.name, found.licence, found.licence_text) == ("x", "CC0-1.0", "be kind")
    touch(tmp_path, "empty/notes.txt", "twice/a.wav", "twice/a.mp3", "odd/caf\udce9.wav")
    faults = {"missing": "not a folder", "empty": "has no audio", "twice": "get the same name", "odd": "not in UTF-8"}
    for name, message in faults.items():
        with pytest.raises(CorpusError, match=message):
            scan_folder(tmp_path / name)
    with pytest.raises(CorpusError, match="valid as a folder name"):
        corpus(numbered(3), name="a/b")
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(CorpusError, match="between 0 and 1"):
            dataclasses.replace(corpus(numbered(3)), test_share=share)


def test_ljspeech_follows_its_metadata_and_rejects_other_layouts(tmp_path):
    with pytest.raises(CorpusError, match="LJSpeech layout"):
        scan_ljspeech(tmp_path)
    touch(tmp_path, "wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav", "wavs/stray.wav")
    lines = '\ufeffLJ001-0001|A|a\u2028a\n"LJ001-0002.wav"|B|'.encode(), "ü\nLJ001-0003|C|c\n".encode("latin-1")
    (tmp_path / "metadata.csv").write_bytes(b"".join(lines))
    found = scan_ljspeech(tmp_path)
    assert [r.name for r in found.recordings] == ["LJ001-0001.wav", "LJ001-0002.wav", "LJ001-0003.wav"]
    assert ({r.speaker for r in found.recordings}, found.licence) == ({"ljspeech"}, "unknown")
    assert found.recordings[1].path == tmp_path / "wavs/LJ001-0002.wav"
    for line in ("../a|x\n", "LJ001-0001,A\n"):
        (tmp_path / "metadata.csv").write_text(line, encoding="utf-8")
        with pytest.raises(CorpusError, match="entry 1"):
            scan_ljspeech(tmp_path)


def test_vctk_uses_one_microphone_reads_both_releases_and_rejects_other_layouts(tmp_path):
    names = ("p225/p225_001_mic1.flac", "p225/p225_001_mic2.flac", "p226/p226_003_mic1.flac")
    touch(tmp_path, *(f"new/wav48_silence_trimmed/{name}" for name in names))
    touch(tmp_path, "old/wav48/p225/p225_001.wav", "old/wav48/p225/p225_002.wav")
    assert [f"{r.speaker}/{r.name}" for r in scan_vctk(tmp_path / "new").recordings] == [names[0], names[2]]
    assert [r.name for r in scan_vctk(tmp_path / "old").recordings] == ["p225_001.wav", "p225_002.wav"]
    with pytest.raises(CorpusError, match="VCTK layout"):
        scan_vctk(tmp_path / "old" / "wav48")


def entry(path="a.flac", speaker="anna", split="train", **changes):
    values = {"corpus": "c", "duration": 1.5, "sample_rate": 22050, "licence": "CC0-1.0", **changes}
    return Entry(path=path, speaker=speaker, split=split, **values)


def write_lines(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def json_line(**changes):
    fields = {"path": "a.flac", "corpus": "c", "speaker": "s", "split": "train", "duration": 1.0}
    return json.dumps({**fields, "sample_rate": 22050, "licence": "x", **changes})


def test_manifests_survive_a_round_trip_and_old_lines_get_defaults(tmp_path):
    made = entry("b/ü.flac", duration=0.1, bandwidth=3800.0, use="evaluate", synthetic=True)
    entries = made, entry("a.flac", "bert", "test")
    write_manifest(tmp_path / "manifest.jsonl", entries)
    assert read_manifest(tmp_path, check_files=False).entries == entries
    found = read_manifest(write_lines(tmp_path / "manifest.jsonl", json_line()), check_files=False).entries[0]
    assert (found.bandwidth, found.use, found.synthetic) == (None, "train", False)
    assert (found.band_edge, entry(bandwidth=7600.0).band_edge) == (11025, 7600)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 2"),
        (json_line(path="../secret.flac"), "inside the manifest's folder"),
        (json_line(path="/etc/a.flac"), "must be relative"),
        (json_line(mel="../a.npy"), "mel must be relative"),
        (json_line(split="dev"), "split"),
        (json_line(duration=float("nan")), "duration"),
        (json_line(bandwidth=11026.0), "bandwidth"),
        (json_line(colour="red"), "no field colour"),
        (json_line(speaker=""), "speaker"),
        (json_line(path="first.flac"), "twice"),
        (json_line(sample_rate=16000), "16000, 22050"),
    ],
)
def test_invalid_lines_are_rejected(tmp_path, line, message):
    path = write_lines(tmp_path / "manifest.jsonl", json_line(path="first.flac"), line)
    with pytest.raises(ManifestError, match=message):
        read_manifest(path, check_files=False)


def test_missing_or_empty_manifests_and_missing_audio_are_rejected(tmp_path):
    with pytest.raises(ManifestError, match="no manifest at"):
        read_manifest(tmp_path)
    path = tmp_path / "manifest.jsonl"
    for content, words in ((b"", "lists no utterance"), (b"\x93NUMPY", "it is not text in UTF-8")):
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=words):
            read_manifest(path)
    (tmp_path / "b.flac").touch()
    for line, missing in ((json_line(), r"a\.flac"), (json_line(path="b.flac", mel="a.npy"), r"a\.npy")):
        write_lines(path, line)
        with pytest.raises(ManifestError, match=f"{missing}, which does not exist"):
            read_manifest(path)


def test_entries_are_selected_by_split_speaker_and_licence(tmp_path):
    rows = (entry("1", "bert"), entry("2", "anna", "test"), entry("3", "carl", "test"), entry("4", "anna"))
    manifest = Manifest(tmp_path, rows)
    assert (manifest.speakers, manifest.trained_speakers) == (("anna", "bert", "carl"), ("anna", "bert"))
    assert [e.path for e in manifest.select("test")] == ["2", "3"]
    assert [e.path for e in manifest.select("test", unseen=False)] == ["2"]
    with pytest.raises(ManifestError, match=r"no train utterance.* for carl"):
        Manifest(tmp_path, rows[2:3]).select("train")
    rows = (entry("1"), entry("2", "bert", use="evaluate", licence="GPL-2.0"), entry("3", "bert", "test"))
    manifest = Manifest(tmp_path, rows)
    with pytest.raises(ManifestError, match=r"c \(GPL-2.0\).*for evaluation only: weights trained on it.*licence"):
        manifest.select("train")
    assert [e.path for e in manifest.select("test")] == ["3"]
