"""A visitor of the page: a window of headless Chromium and the actions of users in it."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60_000.0  # milliseconds; on a busy core a task of 1 s may take more than 20 s


class Visitor:
    """Uses the page by its labels, like a user; `page` and `expect` are playwright's."""

    def __init__(self, page, expect):
        self.page = page
        self.expect = expect

    def upload(self, name, body):
        """Choose a file and wait until it is shown."""
        self.page.get_by_label("Choose a file").set_input_files({"name": name, "mimeType": "", "buffer": body})
        self.expect(self.page.locator("#given[aria-busy=false]")).to_contain_text(name)

    def synthesize(self, status):
        """Synthesize with the selected models once they are ready, and wait for a status."""
        self.expect(self.page.locator("#models")).to_have_attribute("aria-busy", "false")
        self.button("Synthesize").click()
        self.expect(self.page.get_by_role("status")).to_have_text(status)

    def button(self, name):
        return self.page.get_by_role("button", name=name)

    def clip(self, name):
        return self.page.get_by_role("article", name=name, exact=True)

    def field(self, name):
        return self.page.get_by_label(name, exact=True)

    def settings(self):
        self.page.get_by_text("Settings", exact=True).click()

    def wait(self, element, condition):
        """Wait until a condition on an element holds; the page's policy forbids playwright's own function."""
        for _ in range(int(PATIENCE / 50.0)):
            if element.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"timed out waiting for {condition}")


def find_chromium(installed):
    """Return the browser named by $CHROMIUM, one on the path, or playwright's own, or None."""
    choices = os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS), Path(installed).exists() and installed
    return next(filter(None, choices), None)


# The scope is not the session because playwright's event loop would disturb other tests.
@pytest.fixture(scope="module")
def browser():
    required = bool(os.environ.get("REQUIRE_BROWSER"))
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if required:
            raise
        pytest.skip("playwright is not installed: make browser-test")
    with sync_playwright() as running:
        executable = find_chromium(running.chromium.executable_path)
        if executable is None and not required:
            pytest.skip("there is no Chromium here: make browser-test")
        browser = running.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, ready):
    """Open the page of a server in a new window, which must not contact other servers or report errors."""
    from playwright.sync_api import expect

    expect.set_options(PATIENCE)

    @contextmanager
    def run(*fakes, window=None, path="", **settings):
        with ready(*fakes, wait=False, **settings) as url:
            context = browser.new_context(**(window or {}))
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            errors, addresses = [], []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if _is_fault(message) else None)
            page.on("request", lambda request: addresses.append(request.url))
            page.goto(f"{url}{path}")
            try:
                yield Visitor(page, expect)
            finally:
                context.close()
            assert errors == []
            assert [address for address in addresses if not address.startswith((f"{url}/", "blob:"))] == []

    return run


def _is_fault(message):
    """Return whether a console message is an error other than a failed request, which the page shows itself."""
    return message.type in ("error", "warning") and "Failed to load resource" not in message.text


@pytest.fixture
def two_fakes(new_fake):
    return new_fake("one"), new_fake("two")
