"""Debian packages of speech: what is in them, whose it is, and how they are fetched."""

from pathlib import Path

import pytest

from recipes.corpora import debian
from training.corpora.corpus import CorpusError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def packages(tmp_path):
    sounds = "usr/share/asterisk/sounds/en_US_f_Allison"
    root = tmp_path / "asterisk-core-sounds-en-g722"
    touch(root, *(f"{sounds}/{n}.g722" for n in ("hello", "beep", "silence/1", "digits/1", "confbridge-join")))
    touch(root, "usr/share/doc/asterisk-core-sounds-en-g722/copyright")
    (root / "usr/share/doc/asterisk-core-sounds-en-g722/copyright").write_text("Allison Smith, CC-BY-SA-3.0")
    return tmp_path


@pytest.mark.parametrize("inside", ["", "asterisk-core-sounds-en-g722"])
def test_debian_lists_prompts_and_marks_what_is_no_speech(packages, inside):
    found = debian.scan("asterisk-en", debian.locate("asterisk-en", packages / inside))
    assert {r.name: r.unusable for r in found.recordings} == {
        "hello.g722": "",
        "digits/1.g722": "",
        "beep.g722": "not speech",
        "silence/1.g722": "not speech",
        "confbridge-join.g722": "not speech",
    }
    assert {r.speaker for r in found.recordings} == {"asterisk-en"}
    assert found.licence == "CC-BY-SA-3.0"
    assert found.licence_text == "Allison Smith, CC-BY-SA-3.0"


def test_recordings_under_the_gpl_are_for_evaluation_alone():
    copyleft = {name for name, package in debian.PACKAGES.items() if package.licence.startswith("GPL")}
    assert copyleft == {"klettres", "ktuberling", "prompts-de", "prompts-es"}
    assert copyleft <= {name for name, package in debian.PACKAGES.items() if package.use == "evaluate"}
    assert [name for name, package in debian.PACKAGES.items() if package.unseen] == ["asterisk-it"]


def test_files_with_the_bytes_of_another_are_repeats(tmp_path):
    for name, content in (
        ("sr/nos.ogg", b"nose"),
        ("sr@latin/nos.ogg", b"nose"),
        ("fr/nez.wav", b"nez"),
        ("sr/usta.ogg", b""),
    ):
        path = tmp_path / "usr/share/ktuberling/sounds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = debian.scan("ktuberling", tmp_path)
    assert [(r.speaker, r.name, r.unusable) for r in found.recordings] == [
        ("ktuberling-fr", "nez.wav", ""),
        ("ktuberling-sr", "nos.ogg", ""),
        ("ktuberling-sr", "usta.ogg", ""),
        ("ktuberling-sr@latin", "nos.ogg", "a repeat"),
    ]


def test_debian_names_what_is_missing(packages, monkeypatch):
    with pytest.raises(CorpusError, match="unknown corpus 'asterisk-xx'; known: festvox-ru"):
        debian.locate("asterisk-xx", packages)
    with pytest.raises(CorpusError, match="does not hold festvox-ru"):
        debian.locate("festvox-ru", packages)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CorpusError, match=r"apt-get was not found.*--source DIR"):
        debian.fetch("festvox-ru", packages)


def fake_programs(folder, monkeypatch, apt):
    folder.mkdir()
    unpack = '#!/bin/sh\nmkdir -p "$3/usr" && cp "$2" "$3/usr/content"\n'
    for name, text in (("apt-get", f"#!/bin/sh\n{apt}\n"), ("dpkg", unpack)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_debian_downloads_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = Path("cache")  # a relative one too
    fake_programs(tmp_path / "bin", monkeypatch, 'echo "$1 $2" > "$2_1.deb"')
    root = debian.fetch("festvox-ru", cache)
    assert (root / "usr/content").read_text() == "download festvox-ru\n"
    monkeypatch.setenv("PATH", "")
    assert debian.fetch("festvox-ru", cache) == root
    assert [path.name for path in cache.iterdir()] == ["festvox-ru"]


def test_a_failed_download_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    fake_programs(tmp_path / "bin", monkeypatch, "echo 'E: Unable to locate package' >&2; exit 100")
    with pytest.raises(CorpusError, match="Unable to locate package"):
        debian.fetch("festvox-ru", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
