"""A person tries routes at /docs, with nothing from elsewhere."""

from answers import npy

KEY = "open-sesame-1234567"


def opened(person, route):
    """Open what is told of a route, such as `GET /livez`."""
    method, path = route.split()
    block = person.page.locator(f".opblock-{method.lower()}", has=person.page.locator(f'[data-path="{path}"]'))
    block.locator(".opblock-summary-control").click()
    return block


def test_a_mel_is_spoken(visit, fake, new_mel):
    with visit(fake, path="/docs") as person:
        block = opened(person, "POST /v1/synthesize")
        body = {"name": "mel.npy", "mimeType": "application/x-npy", "buffer": npy(new_mel())}
        block.locator("input[type=file]").set_input_files(body)
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table")
        person.expect(answer.locator("tbody .response-col_status").first).to_contain_text("200")
        person.wait(answer.locator("audio"), "audio => audio.duration > 0.1")
        person.expect(answer.get_by_role("link", name="Download")).to_have_attribute("download", "speech.wav")


def test_a_server_with_keys_asks_for_one(visit, fake, tmp_path):
    (tmp_path / "keys").write_text(f"alice:{KEY}\n")
    with visit(fake, path="/livez", api_keys_file=tmp_path / "keys") as person:
        person.page.on("dialog", lambda dialog: dialog.accept(KEY))  # before the page that asks is opened
        person.page.goto(person.page.url.replace("/livez", "/docs"))
        block = opened(person, "GET /v1/models")
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table tbody .response-col_status")
        person.expect(answer.first).to_contain_text("200")
