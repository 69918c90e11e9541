"""Layouts and the split: which recordings are found, whose they are, and which are held out."""

import dataclasses
import itertools

import pytest

from training.corpora.corpus import Corpus, CorpusError, Recording, hold_out_enough, split_recordings
from training.corpora.layouts import scan_folder, scan_ljspeech, scan_vctk
from training.corpora.manifest import Entry


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def corpus(recordings, unseen=False, name="c"):
    return Corpus(name, "here", "CC0-1.0", "nobody", "", tuple(recordings), unseen)


def numbered(count, speaker="s", unusable=()):
    return [
        Recording(f"{i:03d}.wav", f"{i:03d}.wav", speaker, "not speech" if i in unusable else "") for i in range(count)
    ]


def test_every_fortieth_from_seven_is_held_out_in_each_voice():
    shuffled = [r for speaker in ("b", "a") for r in reversed(numbered(90, speaker))]
    held_out = [(r.speaker, r.name) for r, split in split_recordings(corpus(shuffled)) if split == "test"]
    assert held_out == [(speaker, f"{index:03d}.wav") for speaker in "ab" for index in (7, 47, 87)]


def test_a_share_is_spread_evenly_over_each_voice():
    for speaker, share, count in (("a", 0.1, 9), ("b", 0.5, 45), ("a", 0.001, 1)):
        both = dataclasses.replace(corpus([*numbered(90, "a"), *numbered(90, "b")]), test_share=share)
        names = [r.name for r, split in split_recordings(both) if split == "test" and r.speaker == speaker]
        indices = [int(name[:3]) for name in names]
        assert len(indices) == count
        assert all(abs(b - a - 90 / count) <= 1 for a, b in itertools.pairwise(indices))


@pytest.mark.parametrize(
    ("count", "held_out"), [(16, [2, 8, 13]), (6, [1, 3, 5]), (5, [1, 3]), (2, [1]), (1, []), (100, [7, 47, 87])]
)
def test_small_corpora_have_three_to_test_with(count, held_out):
    small = corpus(numbered(count))
    entries = [Entry(r.name, "c", "s", split, 1.0, 8000, "CC0-1.0") for r, split in split_recordings(small)]
    assert [i for i, e in enumerate(hold_out_enough(entries)) if e.split == "test"] == held_out


def test_the_split_counts_unusable_recordings_and_sorts_names_with_suffix_and_subfolders():
    plain = {r.name: split for r, split in split_recordings(corpus(numbered(60)))}
    assert {r.name: split for r, split in split_recordings(corpus(numbered(60, unusable={0, 3, 7, 20})))} == plain
    names = ["b.wav", "a-b.wav", "a.wav", "a/z.wav"]
    found = [r.name for r, _ in split_recordings(corpus(Recording(n, n, "s") for n in names))]
    assert found == ["a-b.wav", "a.wav", "a/z.wav", "b.wav"]


def test_an_unseen_voice_and_what_is_for_evaluation_alone_are_all_test():
    plain = corpus(numbered(50))
    for kept in (dataclasses.replace(plain, unseen=True), dataclasses.replace(plain, use="evaluate")):
        assert {split for _, split in split_recordings(kept)} == {"test"}


def test_folder_takes_subfolders_as_speakers(tmp_path):
    touch(tmp_path, "x/anna/1.wav", "x/anna/deep/2.MP3", "x/bert/1.flac", "x/3.ogg", "x/notes.txt")
    (tmp_path / "x/LICENSE").write_text("be kind")
    found = scan_folder(tmp_path / "x", licence="CC0-1.0")
    assert {(r.speaker, r.name) for r in found.recordings} == {
        ("anna", "1.wav"),
        ("anna", "deep/2.MP3"),
        ("bert", "1.flac"),
        ("x", "3.ogg"),
    }
    assert (found.name, found.licence, found.licence_text) == ("x", "CC0-1.0", "be kind")


def test_folder_refuses_what_holds_no_audio_and_names_that_collide(tmp_path):
    touch(tmp_path, "empty/notes.txt", "twice/a.wav", "twice/a.mp3")
    with pytest.raises(CorpusError, match="not a folder"):
        scan_folder(tmp_path / "missing")
    with pytest.raises(CorpusError, match="holds no audio"):
        scan_folder(tmp_path / "empty")
    with pytest.raises(CorpusError, match="share one name"):
        scan_folder(tmp_path / "twice")
    with pytest.raises(CorpusError, match="folder's name"):
        corpus(numbered(3), name="a/b")
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(CorpusError, match="between 0 and 1"):
            dataclasses.replace(corpus(numbered(3)), test_share=share)


def test_ljspeech_follows_its_table_and_refuses_others(tmp_path):
    with pytest.raises(CorpusError, match="LJSpeech layout"):
        scan_ljspeech(tmp_path)
    touch(tmp_path, "wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav", "wavs/stray.wav")
    (tmp_path / "metadata.csv").write_text("LJ001-0001|A|a\nLJ001-0002|B|b\nLJ001-0003|C|c\n", encoding="utf-8")
    found = scan_ljspeech(tmp_path)
    assert [r.name for r in found.recordings] == ["LJ001-0001.wav", "LJ001-0002.wav", "LJ001-0003.wav"]
    assert {r.speaker for r in found.recordings} == {"ljspeech"}
    assert found.recordings[0].path == tmp_path / "wavs/LJ001-0001.wav"
    (tmp_path / "metadata.csv").write_text("../a|x\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="entry 1"):
        scan_ljspeech(tmp_path)


def test_vctk_takes_one_microphone_reads_the_old_release_and_refuses_other_layouts(tmp_path):
    names = ("p225/p225_001_mic1.flac", "p225/p225_001_mic2.flac", "p226/p226_003_mic1.flac")
    touch(tmp_path, *(f"new/wav48_silence_trimmed/{name}" for name in names))
    touch(tmp_path, "old/wav48/p225/p225_001.wav", "old/wav48/p225/p225_002.wav")
    found = scan_vctk(tmp_path / "new")
    assert [(r.speaker, r.name) for r in found.recordings] == [
        ("p225", "p225_001_mic1.flac"),
        ("p226", "p226_003_mic1.flac"),
    ]
    assert [r.name for r in scan_vctk(tmp_path / "old").recordings] == ["p225_001.wav", "p225_002.wav"]
    with pytest.raises(CorpusError, match="VCTK layout"):
        scan_vctk(tmp_path / "old" / "wav48")
