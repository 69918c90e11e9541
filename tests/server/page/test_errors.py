import numpy as np
from http_helpers import encoded, npy, tone


def test_bad_files_are_explained(visit, fake):
    bad = (
        ("notes.txt", b"these are words, not sound", "The body is not audio that this server can read"),
        ("broken.npy", b"\x93NUMPY\x01\x00", "The npy file ends within its header"),
        ("turned.npy", npy(np.full((12, 80), -5.0, np.float32)), "it looks transposed"),
        ("decibels.npy", npy(np.full((80, 12), -60.0, np.float32)), "digital silence is"),
        ("many.npz", b"PK\x03\x04rest", "a zip archive, as .npz"),
        ("short.wav", encoded(tone(0.01)), "it needs at least 513"),
    )
    with visit(fake) as visitor:
        for name, body, message in bad:
            visitor.upload(name, body)
            visitor.expect(visitor.page.locator("#problems")).to_be_empty()  # the previous problem is cleared
            visitor.button("Synthesize").click()
            visitor.expect(visitor.page.get_by_role("alert")).to_contain_text(message)
            visitor.expect(visitor.page.get_by_role("alert")).to_contain_text("request ")
            visitor.expect(visitor.button("Synthesize")).to_be_enabled()
        visitor.upload("good.wav", encoded(tone()))  # the next file is not affected
        visitor.synthesize("Done: 1 of 1 model.")


def test_a_failing_model_does_not_affect_the_other(visit, two_fakes):
    with visit(*two_fakes) as visitor:
        visitor.field("two").check()
        two_fakes[0].fault = RuntimeError("a fault")
        visitor.synthesize("Done: 1 of 2 models.")
        visitor.expect(visitor.page.get_by_role("alert")).to_contain_text("one · status 500")
        visitor.expect(visitor.clip("two")).to_be_visible()


def test_the_page_waits_for_loading_models(visit, fake):
    fake.gate.clear()
    with visit(fake) as visitor:
        visitor.expect(visitor.page.get_by_role("group", name="Models")).to_contain_text("loading")
        visitor.expect(visitor.field("fake")).to_be_disabled()
        fake.gate.set()
        visitor.expect(visitor.field("fake")).to_be_checked()
        visitor.synthesize("Done: 1 of 1 model.")


def test_synthesis_can_be_cancelled(visit, fake):
    with visit(fake) as visitor:
        visitor.expect(visitor.field("fake")).to_be_checked()
        visitor.expect(visitor.clip("Original")).to_be_visible()
        fake.gate.clear()
        visitor.button("Synthesize").click()
        visitor.button("Cancel").click()
        visitor.expect(visitor.page.get_by_role("status")).to_have_text("Cancelled.")
        fake.gate.set()
        visitor.synthesize("Done: 1 of 1 model.")


def test_an_api_key_is_requested_and_not_stored(visit, fake):
    unauthorized = {"type": "urn:vocoder:problem:unauthorized", "title": "Unauthorized", "detail": "Send an API key."}

    def require_key(route):
        if route.request.headers.get("authorization") == "Bearer open sesame":
            route.continue_()
        else:
            route.fulfill(status=401, json=unauthorized, content_type="application/problem+json")

    with visit(fake) as visitor:
        visitor.page.route("**/v1/**", require_key)
        visitor.page.reload()
        visitor.expect(visitor.page.get_by_role("alert")).to_contain_text("Send an API key.")
        visitor.expect(visitor.page.get_by_label("API key")).to_be_focused()
        visitor.page.keyboard.type("open sesame")
        visitor.button("Use this key").click()
        visitor.expect(visitor.page.locator("#problems")).to_be_empty()
        visitor.synthesize("Done: 1 of 1 model.")
        assert visitor.page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
