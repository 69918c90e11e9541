"""Trying routes at /docs."""

from http_helpers import npy

KEY = "open-sesame-1234567"


def open_route(visitor, route):
    """Open the section of a route such as `GET /livez`."""
    method, path = route.split()
    block = visitor.page.locator(f".opblock-{method.lower()}", has=visitor.page.locator(f'[data-path="{path}"]'))
    block.locator(".opblock-summary-control").click()
    return block


def test_a_mel_can_be_synthesized_from_docs(visit, fake, new_mel):
    with visit(fake, path="/docs") as visitor:
        block = open_route(visitor, "POST /v1/synthesize")
        body = {"name": "mel.npy", "mimeType": "application/x-npy", "buffer": npy(new_mel())}
        block.locator("input[type=file]").set_input_files(body)
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table")
        visitor.expect(answer.locator("tbody .response-col_status").first).to_contain_text("200")
        visitor.wait(answer.locator("audio"), "audio => audio.duration > 0.1")
        visitor.expect(answer.get_by_role("link", name="Download")).to_have_attribute("download", "speech.wav")


def test_docs_ask_for_an_api_key(visit, fake, tmp_path):
    (tmp_path / "keys").write_text(f"alice:{KEY}\n")
    with visit(fake, path="/livez", api_keys_file=tmp_path / "keys") as visitor:
        visitor.page.on("dialog", lambda dialog: dialog.accept(KEY))  # register before opening the page
        visitor.page.goto(visitor.page.url.replace("/livez", "/docs"))
        block = open_route(visitor, "GET /v1/models")
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table tbody .response-col_status")
        visitor.expect(answer.first).to_contain_text("200")
