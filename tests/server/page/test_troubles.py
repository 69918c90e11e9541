import numpy as np
from answers import encoded, npy


def test_bad_files_are_explained(visit, fake, tone):
    bad = (
        ("notes.txt", b"these are words, not sound", "The body is not audio that this server can read"),
        ("broken.npy", b"\x93NUMPY\x01\x00", "The npy file ends within its header"),
        ("turned.npy", npy(np.full((12, 80), -5.0, np.float32)), "it looks transposed"),
        ("decibels.npy", npy(np.full((80, 12), -60.0, np.float32)), "digital silence is"),
        ("many.npz", b"PK\x03\x04rest", "a zip archive, as .npz"),
        ("short.wav", encoded(tone(0.01)), "The audio has fewer than 513 samples"),
    )
    with visit(fake) as person:
        for name, body, words in bad:
            person.upload(name, body)
            person.expect(person.page.locator("#problems")).to_be_empty()  # the last one's is gone
            person.button("Synthesize").click()
            person.expect(person.page.get_by_role("alert")).to_contain_text(words)
            person.expect(person.page.get_by_role("alert")).to_contain_text("request ")
            person.expect(person.button("Synthesize")).to_be_enabled()
        person.upload("good.wav", encoded(tone()))  # and the next one is none the worse for it
        person.speak("Done: 1 of 1 model.")


def test_a_model_that_fails_leaves_the_other(visit, two):
    with visit(*two) as person:
        person.field("two").check()
        two[0].fault = RuntimeError("a fault")
        person.speak("Done: 1 of 2 models.")
        person.expect(person.page.get_by_role("alert")).to_contain_text("one · status 500")
        person.expect(person.clip("two")).to_be_visible()


def test_models_that_load_are_waited_for(visit, fake):
    fake.gate.clear()
    with visit(fake) as person:
        person.expect(person.page.get_by_role("group", name="Models")).to_contain_text("loading")
        person.expect(person.field("fake")).to_be_disabled()
        fake.gate.set()
        person.expect(person.field("fake")).to_be_checked()
        person.speak("Done: 1 of 1 model.")


def test_what_takes_long_can_be_cancelled(visit, fake):
    with visit(fake) as person:
        person.expect(person.field("fake")).to_be_checked()
        person.expect(person.clip("Original")).to_be_visible()
        fake.gate.clear()
        person.button("Synthesize").click()
        person.button("Cancel").click()
        person.expect(person.page.get_by_role("status")).to_have_text("Cancelled.")
        fake.gate.set()
        person.speak("Done: 1 of 1 model.")


def test_an_api_key_is_asked_for_and_kept_nowhere(visit, fake):
    refusal = {"type": "urn:vocoder:problem:unauthorized", "title": "Unauthorized", "detail": "Send an API key."}

    def guard(route):
        if route.request.headers.get("authorization") == "Bearer open sesame":
            route.continue_()
        else:
            route.fulfill(status=401, json=refusal, content_type="application/problem+json")

    with visit(fake) as person:
        person.page.route("**/v1/**", guard)
        person.page.reload()
        person.expect(person.page.get_by_role("alert")).to_contain_text("Send an API key.")
        person.expect(person.page.get_by_label("API key")).to_be_focused()
        person.page.keyboard.type("open sesame")
        person.button("Use this key").click()
        person.expect(person.page.locator("#problems")).to_be_empty()
        person.speak("Done: 1 of 1 model.")
        assert person.page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
