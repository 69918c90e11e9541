import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from evaluation_corpus import fake_programs, touch

from recipes.__main__ import main
from recipes.corpora import downloads, fortunes
from training.corpora.corpus import CorpusError
from training.corpora.manifest import read_manifest

PROSE = "A plain sentence, long enough to be read aloud."


def test_an_unpacked_package_is_prepared(tmp_path, capsys):
    wav = tmp_path / "festvox-ru/usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav"
    wav.mkdir(parents=True)
    for number in range(8):
        x = 0.1 * np.random.default_rng(number).standard_normal(8000)
        soundfile.write(wav / f"ru_{number:04d}.wav", x, 16000)
    touch(tmp_path, "festvox-ru/usr/share/doc/festvox-ru/copyright")
    (tmp_path / "festvox-ru/usr/share/doc/festvox-ru/copyright").write_bytes(b"Copyright \xa9 2005")
    out = tmp_path / "out"
    assert main(["prepare", "festvox-ru", "--cache", str(tmp_path), "-o", str(out), "--jobs", "1"]) == 0
    assert "festvox-ru" in capsys.readouterr().out
    held_out = [e.path.rpartition("/")[2] for e in read_manifest(out).select("test")]
    assert held_out == ["ru_0001.flac", "ru_0004.flac", "ru_0006.flac"]
    assert (out / "licences/festvox-ru.txt").read_text() == "Copyright \ufffd 2005"


def test_prompts_are_listed_non_speech_is_marked_and_missing_folders_are_reported(tmp_path, monkeypatch, cli_error):
    sounds = "usr/share/asterisk/sounds/en_US_f_Allison"
    root = tmp_path / "asterisk-core-sounds-en-g722"
    touch(root, *(f"{sounds}/{n}.g722" for n in ("hello", "beep", "silence/1", "digits/1", "confbridge-join")))
    touch(root, "usr/share/doc/asterisk-core-sounds-en-g722/copyright")
    (root / "usr/share/doc/asterisk-core-sounds-en-g722/copyright").write_text("Allison Smith, CC-BY-SA-3.0")
    found = downloads.scan("asterisk-en", downloads.download("asterisk-core-sounds-en-g722", tmp_path))
    speech, other = ("hello.g722", "digits/1.g722"), ("beep.g722", "silence/1.g722", "confbridge-join.g722")
    expected = dict.fromkeys(speech, "") | dict.fromkeys(other, "left out by downloads.yaml")
    assert {r.name: r.unusable for r in found.recordings} == expected
    assert {r.speaker for r in found.recordings} == {"asterisk-en"}
    assert (found.licence, found.licence_text) == ("CC-BY-SA-3.0", "Allison Smith, CC-BY-SA-3.0")
    with pytest.raises(CorpusError, match="should have one folder usr/share/klettres, but has 0"):
        downloads.scan("klettres", tmp_path)
    known = "there is no corpus asterisk-xx; known: festvox-ru"
    assert known in cli_error(main, "prepare", "asterisk-xx", "-o", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CorpusError, match=r"apt-get was not found.*--cache DIR"):
        downloads.download("festvox-ru", tmp_path)


def test_recordings_under_the_gpl_are_for_evaluation_only():
    copyleft = {name for name, package in downloads.SOURCES.items() if package["licence"].startswith("GPL")}
    assert copyleft == {"gcompris", "klettres", "ktuberling", "prompts-de", "prompts-es"}
    assert copyleft <= {name for name, package in downloads.SOURCES.items() if package.get("use") == "evaluate"}
    assert [name for name, package in downloads.SOURCES.items() if package.get("unseen")] == ["asterisk-it"]


def test_duplicate_files_are_marked_as_repeats(tmp_path):
    sounds = tmp_path / "usr/share/ktuberling/sounds"
    touch(sounds, "sr/nos.ogg", "sr@latin/nos.ogg", "fr/nez.wav", "sr/usta.ogg")
    for name, content in (("sr/nos.ogg", b"nose"), ("sr@latin/nos.ogg", b"nose"), ("fr/nez.wav", b"nez")):
        (sounds / name).write_bytes(content)
    found = downloads.scan("ktuberling", tmp_path)
    rows = [("fr", "nez.wav", ""), ("sr", "nos.ogg", ""), ("sr", "usta.ogg", ""), ("sr@latin", "nos.ogg", "a repeat")]
    repeats = [(r.speaker, r.name, r.unusable) for r in found.recordings]
    assert repeats == [(f"ktuberling-{language}", *rest) for language, *rest in rows]


def test_packages_are_downloaded_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = Path("cache")  # relative paths work too
    unpack = 'mkdir -p "$3/usr" && cp "$2" "$3/usr/content"'
    fake_programs(tmp_path / "bin", monkeypatch, {"apt-get": 'echo "$1 $2" > "$2_1.deb"', "dpkg": unpack})
    root = downloads.download("festvox-ru", cache)
    assert (root / "usr/content").read_text() == "download festvox-ru\n"
    monkeypatch.setenv("PATH", "")
    assert (downloads.download("festvox-ru", cache), [path.name for path in cache.iterdir()]) == (root, ["festvox-ru"])


def test_a_repository_is_cloned_once_and_its_licence_is_kept(tmp_path, monkeypatch):
    published, cache = tmp_path / "dataset-voice-nathalie", tmp_path / "cache"
    touch(published, "verified/b.flac", "verified/a.flac", "audio/a.webm")
    (published / "LICENSE").write_text("CC0 1.0 Universal")
    for command in ("init -q", "add .", "-c user.name=n -c user.email=n@example.com commit -qm recordings"):
        subprocess.run(["git", *command.split()], cwd=published, check=True)
    root = downloads.download(published.as_uri(), cache)
    found = downloads.scan("nathalie", root)
    assert [(r.name, r.speaker) for r in found.recordings] == [("a.flac", "nathalie"), ("b.flac", "nathalie")]
    assert (found.licence, found.licence_text, found.use) == ("CC0-1.0", "CC0 1.0 Universal", "train")
    with pytest.raises(CorpusError, match=r"failed: fatal: [^()]*exist[^()]*\.$"):
        downloads.download((tmp_path / "gone").as_uri(), cache)
    monkeypatch.setenv("PATH", "")
    assert downloads.download(published.as_uri(), cache) == root
    with pytest.raises(CorpusError, match=r"git was not found.*`git clone .*/dataset-voice-kerstin DIR/dataset-voice-"):
        downloads.download(downloads.SOURCES["kerstin"]["source"], cache)


def write_fortunes(root, language, *texts):
    """Write all files of a language, with the texts in the first one."""
    names = [f"usr/share/games/fortunes/{name}" for name in fortunes.LANGUAGES[language]["files"]]
    touch(root, *names)
    (root / names[0]).write_text("\n%\n".join(texts), encoding="utf-8")


def test_only_plain_sentences_are_used(tmp_path):
    write_fortunes(
        tmp_path,
        "en-us",
        f"{PROSE}\n\t\t-- Somebody Famous, whose name must not be read aloud",
        "Too short.",
        f"A sentence with 3 numbers that would be read in many ways.  {PROSE}",
        "A sentence that is broken\nover two lines and comes whole!",
        "for (i = 0; i < count; i++) { this is code and not a sentence; }.",
        "A sentence " + "that goes on and on and on " * 5 + "is too long.",
    )
    found = fortunes.sentences("en-us", tmp_path / "cache", system=tmp_path)
    assert found == (PROSE, "A sentence that is broken over two lines and comes whole!")
