"""The documents are correct: links and commands exist, and no file contains names of one machine."""

import importlib
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
TEXT_SUFFIXES = {".cfg", ".ini", ".json", ".jsonl", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
TEXT_NAMES = {".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "Makefile"}
SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "node_modules"}
# Hosts that documents may link to; never those of a machine or a registry.
KNOWN_HOSTS = {
    "0.0.0.0", "127.0.0.1", "arxiv.org", "creativecommons.org", "doi.org", "elsewhere.example", "en.wikipedia.org",
    "example.com", "example.org", "github.com", "huggingface.co", "json-schema.org", "keepachangelog.com", "localhost",
    "numpy.org", "opensource.org", "pytorch.org", "semver.org", "test", "testserver", "vocoder", "www.asterisk.org",
    "www.isca-archive.org", "www.itu.int", "www.rfc-editor.org", "www.w3.org",
}  # fmt: skip
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:home|root|Users|media|mnt|work|workspace)/\w")
URLS = re.compile(r"\bhttps?://[^\s\"'`<>)\]}\\]+")
MARKDOWN_LINKS = re.compile(r"\]\(([^)\s]+)\)")
FOLDERS = "vocoder|training|server|recipes|tests|benchmarks|configs|deploy|docs|examples"
PATHS = re.compile(rf"(?<![\w./-])((?:{FOLDERS})/(?:[\w./-]*[\w/])?)(?![\w*{{<-])")
SOURCES = re.compile(r"`((?:\w+/)*\w+\.py)`")
IMPORTS = re.compile(r"^from ((?:vocoder|training|server|recipes)[\w.]*) import ([\w, ]+)$", flags=re.MULTILINE)
MAKE_COMMANDS = re.compile(r"\bmake ((?:[A-Z]+=\S+ )*)([a-z][a-z-]*)")
COMMANDS = re.compile(r"(\.venv/bin/vocoder|\.venv/bin/vocoder-train|python -m recipes) ([a-z-]+)")


def project_files():
    found = []
    folders = [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.is_dir() and not (path.name.startswith(".") and path.name != ".ci") and not path.is_symlink():
                skipped = path == ROOT / "runs" or path.name in SKIPPED_FOLDERS or path.name.endswith(".egg-info")
                folders += [] if skipped else [path]
            elif path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES or path.parent.name == ".ci":
                found.append(path)
    return found


def relative(path):
    return str(path.relative_to(ROOT))


FILES = project_files()
DOCUMENTS = [path for path in FILES if path.suffix == ".md"]


def text_of(path):
    return path.read_text(encoding="utf-8")


def links(path):
    """Return the project's files that a document links to, with their anchors, which may be empty."""
    local = [link for link in MARKDOWN_LINKS.findall(text_of(path)) if not urlsplit(link).scheme]
    pairs = [link.partition("#") for link in local]
    return [((path.parent / file if file else path).resolve(), anchor) for file, _, anchor in pairs]


def headings(path):
    """Return the anchors of a Markdown file: lower-case headings without marks, with hyphens for spaces."""
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def failures(files, find_problems):
    """Return the problems that `find_problems` returns for each file with any."""
    found = {relative(path): list(find_problems(path)) for path in files}
    return {path: names for path, names in found.items() if names}


def test_links_lead_to_existing_files_and_headings():
    assert {"README.md", "Makefile", ".ci/run", "tests/test_documents.py"} <= {relative(path) for path in FILES}
    assert sum(len(links(path)) for path in DOCUMENTS) > 100
    assert failures(DOCUMENTS, lambda path: [file for file, _ in links(path) if not file.exists()]) == {}

    def missing_anchors(path):
        pages = [(file, anchor) for file, anchor in links(path) if anchor and file.suffix == ".md"]
        return [f"{file.name}#{anchor}" for file, anchor in pages if anchor not in headings(file)]

    assert failures(DOCUMENTS, missing_anchors) == {}


def test_every_document_picture_and_sound_is_shown():
    index = ROOT / "docs" / "index.md"
    documents = {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")} - {index}
    assert documents - {file for file, _ in links(index)} == set()
    assert index in {file for file, _ in links(ROOT / "README.md")}
    shown = {file for path in DOCUMENTS for file, _ in links(path)}
    kept = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".png", ".svg", ".opus", ".flac"}]
    assert len(kept) > 5
    assert [relative(path) for path in kept if path not in shown] == []


def test_paths_source_files_and_imported_names_exist():
    files = [path for path in FILES if path.suffix not in {".py", ".json", ".jsonl"}]
    assert sum(len(PATHS.findall(text_of(path))) for path in files) > 100
    assert failures(files, lambda p: [name for name in PATHS.findall(text_of(p)) if not (ROOT / name).exists()]) == {}
    sources = "\n".join(f"/{relative(file)}" for file in FILES if file.suffix == ".py") + "\n"
    assert failures(DOCUMENTS, lambda p: [n for n in SOURCES.findall(text_of(p)) if f"/{n}\n" not in sources]) == {}

    def missing(path):
        found = IMPORTS.findall(text_of(path))
        named = [(module, name.strip()) for module, names in found for name in names.split(",")]
        return [name for name in named if not hasattr(importlib.import_module(name[0]), name[1])]

    assert failures(DOCUMENTS, missing) == {}


def test_make_targets_and_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))

    def unknown(path):
        blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```|`([^`\n]+)`", text_of(path), flags=re.DOTALL)
        return {match[1] for block in blocks for match in MAKE_COMMANDS.findall("\n".join(block))} - targets

    assert {"test", "check", "demo"} <= targets
    assert failures(DOCUMENTS, unknown) == {}
    found = {found for path in DOCUMENTS for found in COMMANDS.findall(text_of(path))}
    named = {(program.removeprefix(".venv/bin/"), command) for program, command in found}
    assert {("vocoder", "mel"), ("vocoder", "check"), ("vocoder-train", "evaluate")} <= named
    programs = {"vocoder": "vocoder.cli", "vocoder-train": "training.cli", "python -m recipes": "recipes.__main__"}
    assert [pair for pair in sorted(named) if pair[1] not in importlib.import_module(programs[pair[0]]).COMMANDS] == []


def test_files_contain_no_machine_paths_and_no_unknown_hosts():
    here = [f"{ROOT}/"] if len(ROOT.parts) >= 3 else []
    assert failures(FILES, lambda p: MACHINE_PATHS.findall(text_of(p)) + [h for h in here if h in text_of(p)]) == {}

    def unknown(path):
        text = text_of(path).replace("\\.", ".")  # addresses in regular expressions
        hosts = {urlsplit(url).hostname or "" for url in URLS.findall(text)}
        return {host for host in hosts if host and "{" not in host and "$" not in host} - KNOWN_HOSTS

    assert failures(FILES, unknown) == {}


def test_curl_commands_set_a_content_type():
    """By default curl sends the type of a form, which the server rejects."""
    lines = "\n".join(map(text_of, DOCUMENTS)).replace("\\\n", " ").splitlines()
    sent = [line for line in lines if line.strip().startswith("curl ") and "--data-binary" in line]
    assert len(sent) > 5
    assert [line for line in sent if "Content-Type:" not in line] == []


def test_the_version_is_the_latest_in_the_changelog():
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text_of(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)
    assert released[0] == importlib.import_module("vocoder").__version__ == version
