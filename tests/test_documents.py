"""What the documents say is so: links lead somewhere, commands exist, and no machine's own names are in any file."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT_SUFFIXES = {".cfg", ".ini", ".json", ".jsonl", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
TEXT_NAMES = {".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "Makefile"}
SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "node_modules", "runs"}
# Where readers may be sent. An address that is a machine's or a registry's is never among them.
KNOWN_HOSTS = {
    "0.0.0.0",
    "127.0.0.1",
    "arxiv.org",
    "creativecommons.org",
    "doi.org",
    "en.wikipedia.org",
    "example.com",
    "example.org",
    "github.com",
    "huggingface.co",
    "json-schema.org",
    "keepachangelog.com",
    "localhost",
    "numpy.org",
    "opensource.org",
    "pytorch.org",
    "semver.org",
    "test",
    "testserver",
    "vocoder",
    "www.asterisk.org",
    "www.isca-archive.org",
    "www.itu.int",
    "www.rfc-editor.org",
    "www.w3.org",
}
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:home|root|Users|media|mnt|work|workspace)/\w")
URLS = re.compile(r"\bhttps?://[^\s\"'`<>)\]}\\]+")
MARKDOWN_LINKS = re.compile(r"\]\(([^)\s]+)\)")
FOLDERS = "vocoder|training|server|recipes|tests|benchmarks|configs|deploy|docs|examples"
PATHS = re.compile(rf"(?<![\w./-])((?:{FOLDERS})/(?:[\w./-]*[\w/])?)(?![\w*{{<-])")
SOURCES = re.compile(r"`((?:\w+/)*\w+\.py)`")
IMPORTS = re.compile(r"^from ((?:vocoder|training|server|recipes)[\w.]*) import ([\w, ]+)$", flags=re.MULTILINE)
MAKE_COMMANDS = re.compile(r"\bmake ((?:[A-Z]+=\S+ )*)([a-z][a-z-]*)")
COMMANDS = re.compile(r"(\.venv/bin/vocoder|\.venv/bin/vocoder-train|python -m recipes) ([a-z-]+)")


def project_files() -> list[Path]:
    found: list[Path] = []
    folders = [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.is_dir() and not (path.name.startswith(".") and path.name != ".ci") and not path.is_symlink():
                folders += [path] if path.name not in SKIPPED_FOLDERS and not path.name.endswith(".egg-info") else []
            elif path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES or path.parent.name == ".ci":
                found.append(path)
    return found


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


FILES = project_files()
DOCUMENTS = [path for path in FILES if path.suffix == ".md"]


def test_the_files_are_found() -> None:
    assert {"README.md", "Makefile", ".ci/run", "tests/test_documents.py"} <= {relative(path) for path in FILES}


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_relative_links_lead_somewhere(path: Path) -> None:
    links = [link.split("#")[0] for link in MARKDOWN_LINKS.findall(path.read_text(encoding="utf-8"))]
    local = [link for link in links if link and not urlsplit(link).scheme]
    assert [link for link in local if not (path.parent / link).exists()] == []


def headings(path: Path) -> set[str]:
    """The anchors that a Markdown file has: its headings in small letters, without marks, spaces as hyphens."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_anchors_are_headings(path: Path) -> None:
    links = [link.split("#") for link in MARKDOWN_LINKS.findall(path.read_text(encoding="utf-8")) if "#" in link]
    local = [(path.parent / file if file else path, anchor) for file, anchor in links if not urlsplit(file).scheme]
    pages = [(file, anchor) for file, anchor in local if file.suffix == ".md"]
    assert [f"{file.name}#{anchor}" for file, anchor in pages if anchor not in headings(file)] == []


def linked_files(path: Path) -> set[Path]:
    links = [link.split("#")[0] for link in MARKDOWN_LINKS.findall(path.read_text(encoding="utf-8"))]
    return {(path.parent / link).resolve() for link in links if link and not urlsplit(link).scheme}


def test_every_document_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    documents = {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")} - {index}
    assert documents - linked_files(index) == set()
    assert index in linked_files(ROOT / "README.md")


def test_every_picture_and_sound_is_in_a_document() -> None:
    shown = {file for path in DOCUMENTS for file in linked_files(path)}
    kept = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".png", ".svg", ".opus", ".flac"}]
    assert len(kept) > 5
    assert [relative(path) for path in kept if path not in shown] == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix not in {".py", ".json", ".jsonl"}], ids=relative
)
def test_paths_exist(path: Path) -> None:
    named = PATHS.findall(path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_source_files_exist(path: Path) -> None:
    sources = [f"/{relative(file)}" for file in FILES if file.suffix == ".py"]
    named = SOURCES.findall(path.read_text(encoding="utf-8"))
    assert [name for name in named if not any(source.endswith(f"/{name}") for source in sources)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_what_code_imports_is_there(path: Path) -> None:
    imports = IMPORTS.findall(path.read_text(encoding="utf-8"))
    named = [(module, name.strip()) for module, names in imports for name in names.split(",")]
    assert [name for name in named if not hasattr(importlib.import_module(name[0]), name[1])] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_make_commands_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    blocks = re.findall(
        r"```(?:sh|bash|console)\n(.*?)```|`([^`\n]+)`", path.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    named = {match[1] for block in blocks for match in MAKE_COMMANDS.findall("\n".join(block))}
    assert named <= targets


def named_commands() -> list[tuple[str, str]]:
    named = {found for path in DOCUMENTS for found in COMMANDS.findall(path.read_text(encoding="utf-8"))}
    return sorted((program.removeprefix(".venv/bin/"), command) for program, command in named)


def test_the_readme_and_the_documents_name_commands() -> None:
    assert {("vocoder", "mel"), ("vocoder", "check"), ("vocoder-train", "evaluate")} <= set(named_commands())


@pytest.mark.parametrize(("program", "command"), named_commands())
def test_every_command_in_the_documents_exists(program: str, command: str) -> None:
    modules = {"vocoder": "vocoder.cli", "vocoder-train": "training.cli", "python -m recipes": "recipes.__main__"}
    module = importlib.import_module(modules[program])
    assert command in module.COMMANDS


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_path_of_one_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert MACHINE_PATHS.findall(text) == []
    assert len(ROOT.parts) < 3 or f"{ROOT}/" not in text


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_addresses_are_known(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\.", ".")  # addresses in regular expressions
    hosts = {urlsplit(url).hostname or "" for url in URLS.findall(text)}
    assert {host for host in hosts if "{" not in host and "$" not in host} - {""} <= KNOWN_HOSTS


def test_curl_says_what_it_sends() -> None:
    """Without a Content-Type curl names a form, which the server refuses."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents).replace("\\\n", " ")
    sent = [line for line in text.splitlines() if line.strip().startswith("curl ") and "--data-binary" in line]
    assert len(sent) > 5
    assert [line for line in sent if "Content-Type:" not in line] == []


def test_the_version_is_the_newest_of_the_changelog() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, flags=re.MULTILINE)
    assert released[0] == version
    assert importlib.import_module("vocoder").__version__ == version
