"""The documents as a site: they are gathered with whatever they link to, and MkDocs makes pages of them.

``make docs`` runs it. Links between files stay as they are, since the gathered folder is laid out like the project. The
reference of `vocoder` comes from its docstrings.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parent.parent
START = ("README.md", "docs/index.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
FIRST = ("vocoder.load", "vocoder.Synthesizer")
"""what most programs need: the reference begins with it"""
SOUND = re.compile(r"\[([^\]]*)\]\(([^)\s]+\.opus)\)")
TITLES = {
    "Home": "README.md",
    "All documents": "docs/index.md",
    "Use it": ("docs/python.md", "docs/server.md", "docs/deploy.md", "docs/mels.md", "docs/acoustic-models.md"),
    "The models": ("docs/models.md", "docs/sound.md", "docs/exchange.md", "docs/export.md"),
    "Make your own": (
        "docs/own-voice.md",
        "docs/training.md",
        "docs/corpora.md",
        "docs/evaluation.md",
        "docs/distillation.md",
    ),
    "Understand it": ("docs/flows.md", "docs/glossary.md", "benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    "Reference": "reference/index.md",
}


def linked(path: Path) -> list[Path]:
    """Return the files and folders of the project that a document links to."""
    text = path.read_text(encoding="utf-8")
    targets = [target for _, _, target, _ in LINK.findall(text) if target and not urlsplit(target).scheme]
    return [(path.parent / target).resolve() for target in targets]


def gathered(root: Path = ROOT) -> list[Path]:
    """Return all documents that can be reached from the first ones, and the files that they link to.

    Raises:
        FileNotFoundError: a link leads nowhere.
    """
    found: dict[Path, None] = {}
    waiting = [root / name for name in START]
    while waiting:
        path = waiting.pop(0)
        if path in found or path.is_dir():
            continue
        if not path.is_file():
            raise FileNotFoundError(f"a document links to {path.relative_to(root)}, which is not there")
        found[path] = None
        waiting += linked(path) if path.suffix == ".md" else []
    return sorted(found)


def without_folders(text: str, folder: Path) -> str:
    """Return Markdown in which links to folders, which have no page, are plain text."""

    def plain(match: re.Match[str]) -> str:
        target = match[3]
        leads_to_folder = bool(target) and not urlsplit(target).scheme and (folder / target).is_dir()
        return match[2] if leads_to_folder else match[0]

    return LINK.sub(plain, text)


def with_players(text: str) -> str:
    """Return Markdown with a player in the place of each link to a sound, after its name if it has one."""

    def player(match: re.Match[str]) -> str:
        name = "" if match[1] == "listen" else f"{match[1]} "
        return f'{name}<audio controls preload="none" style="width: 5.5rem" src="{match[2]}"></audio>'

    return SOUND.sub(player, text)


def reference_pages(root: Path = ROOT) -> dict[str, str]:
    """Return by file name a page for each folder of `vocoder` with directives for mkdocstrings, and their index."""
    pages: dict[str, str] = {}
    folders = sorted({path.parent for path in (root / "vocoder").rglob("*.py")})
    for folder in folders:
        package = ".".join(folder.relative_to(root).parts)
        modules = [package, *(f"{package}.{path.stem}" for path in sorted(folder.glob("[!_]*.py")))]
        pages[f"{package}.md"] = f"# {package}\n\n" + "\n".join(f"::: {module}\n" for module in modules)
    first = "\n".join(f"::: {name}\n    options:\n      heading_level: 2\n" for name in FIRST)
    lines = "\n".join(f"* [{name[:-3]}]({name})" for name in pages)
    return {"index.md": f"# Reference\n\n{first}\n## Every folder of the package\n\n{lines}\n", **pages}


def stage(folder: Path, root: Path = ROOT) -> None:
    """Write everything that the site is made of to a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in gathered(root):
        copy = folder / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            copy.write_text(with_players(without_folders(text, path.parent)), encoding="utf-8")
        else:
            shutil.copyfile(path, copy)
    (folder / "reference").mkdir()
    for name, text in reference_pages(root).items():
        (folder / "reference" / name).write_text(text, encoding="utf-8")


def configuration(source: Path, site: Path, root: Path = ROOT) -> dict[str, object]:
    """Return MkDocs' settings: the theme Material without anything from other sites."""
    options = {"docstring_style": "google", "show_source": False, "show_root_heading": True, "members_order": "source"}
    navigation = [{title: list(files) if isinstance(files, tuple) else files} for title, files in TITLES.items()]
    return {
        "site_name": "flow-vocoder",
        "docs_dir": str(source),
        "site_dir": str(site),
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False, "features": ["navigation.tabs", "content.code.copy"]},
        "nav": navigation,
        "plugins": [
            "search",
            {"mkdocstrings": {"handlers": {"python": {"paths": [str(root)], "options": options}}}},
        ],
        "markdown_extensions": ["tables", "toc", "fenced_code", "pymdownx.highlight", "pymdownx.superfences"],
        "validation": {"nav": {"omitted_files": "ignore"}},
    }


def main(arguments: list[str] | None = None) -> int:
    """Build the site and return MkDocs' exit status."""
    parser = argparse.ArgumentParser(description="Make a site of the documents.")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "docs", help="folder (%(default)s)")
    args = parser.parse_args(arguments)
    output = args.output.resolve()
    source, site, settings = output / "source", output / "site", output / "mkdocs.yml"
    stage(source)
    settings.write_text(yaml.safe_dump(configuration(source, site), sort_keys=False), encoding="utf-8")
    status = subprocess.call([sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "-f", str(settings)])
    if status == 0:
        print(site / "index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
