"""Where Chromium is on this machine; run as a program, it prints the place, or fails where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium(playwright: Playwright) -> str | None:
    """The browser that $CHROMIUM names, that is on the path, or that playwright has installed; None without any."""
    installed = playwright.chromium.executable_path
    choices = (os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), installed if Path(installed).exists() else None)
    return next((choice for choice in choices if choice), None)


if __name__ == "__main__":
    with sync_playwright() as running:
        found = find_chromium(running)
    print(found or "there is no Chromium here", file=sys.stdout if found else sys.stderr)
    sys.exit(0 if found else 1)
