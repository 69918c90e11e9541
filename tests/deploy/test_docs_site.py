"""The source folder of the MkDocs site is complete; `make docs` checks all links in it."""

import re
from pathlib import Path

import pytest
import yaml

from deploy import docs_site as site

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    site.stage(folder := tmp_path_factory.mktemp("docs") / "source")
    return folder


def test_all_documents_are_pages_and_all_public_modules_in_the_reference(staged):
    names = {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")}
    assert {name for name in names if not (staged / name).is_file()} == set()
    text = "".join(page.read_text(encoding="utf-8") for page in (staged / "reference").glob("*.md"))
    first = (staged / "reference" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^::: (\S+)$", first, flags=re.MULTILINE) == ["vocoder.load", "vocoder.Synthesizer"]
    named = set(re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE))
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "vocoder").rglob("[!_]*.py")]
    assert {".".join(file.parts) for file in files} <= named


def test_sounds_have_players_and_no_external_fonts_are_loaded(staged, tmp_path):
    assert site.with_players("[listen](a.opus), [b](b.md)").startswith('<audio controls preload="none"')
    for page in (staged / "README.md", staged / "docs" / "sounds" / "README.md"):
        sounds = re.findall(r'<audio [^>]*src="([^"]+)"', page.read_text("utf-8"))
        assert len(sounds) >= 12
        assert [name for name in sounds if not (page.parent / name).is_file()] == []
    settings = site.configuration(staged, tmp_path)
    assert yaml.safe_load(yaml.safe_dump(settings)) == settings
    assert settings["theme"]["font"] is False
