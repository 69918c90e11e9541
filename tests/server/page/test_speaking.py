"""A recording or a mel goes in, models speak, and what they say can be heard, compared and taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soundfile


def test_a_recording_and_two_models(visit: Any, two: Any, wav: Any, tone: Any) -> None:
    with visit(*two) as person:
        person.expect(person.clip("Original")).to_contain_text("example.flac")  # what the page begins with
        person.upload("tone.wav", wav(tone()))
        person.field("two").check()
        person.field("seed").fill("7")
        person.speak("Done: 2 of 2 models.")
        person.expect(person.page.get_by_role("article")).to_have_count(3)
        for name in ("one", "two"):
            card = person.clip(name)
            for word in ("speed", "× real time", "inference", "queue", "whole request", "1.01 s at 22,050 Hz"):
                person.expect(card).to_contain_text(word)
            person.expect(card.locator("dt:text-is('seed') + dd")).to_have_text("7")
            person.expect(card.get_by_role("img")).to_have_count(3)
            assert card.locator("audio").evaluate("audio => audio.error") is None
    assert [fake.calls for fake in two] == [2, 2]  # the warm-up, and once


def test_the_clip_that_can_be_downloaded_is_what_the_model_spoke(visit: Any, fake: Any, new_mel: Any, npy: Any) -> None:
    mel = new_mel(frames=40)
    with visit(fake) as person:
        person.upload("speech.npy", npy(mel))
        person.expect(person.clip("Mel")).to_contain_text("80 bands, 40 frames")
        person.field("seed").fill("3")
        person.page.get_by_label("sigma").fill("0.25")
        person.field("corrections").select_option("best (40)")
        person.speak("Done: 1 of 1 model.")
        with person.page.expect_download() as download:
            person.clip("fake").get_by_role("link", name="Download WAV").click()
        assert download.value.suggested_filename == "fake-seed3.wav"
        x, sample_rate = soundfile.read(download.value.path())
    assert sample_rate == fake.sample_rate
    np.testing.assert_allclose(x, fake.synthesize(mel, seed=3, sigma=0.25, corrections=40), atol=1.0 / 32768.0)


def test_playing_and_switching(visit: Any, two: Any, wav: Any, tone: Any) -> None:
    with visit(*two) as person:
        person.upload("tone.wav", wav(tone(4.0)))
        person.field("two").check()
        person.speak("Done: 2 of 2 models.")
        sounds = {name: person.clip(name).locator("audio") for name in ("Original", "one", "two")}
        for sound in sounds.values():
            assert sound.evaluate("audio => audio.duration") == pytest.approx(4.0, abs=0.05)
        for before, now in ((None, "Original"), ("Original", "one"), ("one", "two")):
            sounds[now].focus()
            person.page.keyboard.press("Space")  # the browser's own player
            person.wait(sounds[now], "audio => !audio.paused && audio.currentTime > 0.3")
            if before is not None:
                assert sounds[before].evaluate("audio => audio.paused")
                started, ended = (sounds[name].evaluate("audio => audio.currentTime") for name in (now, before))
                assert started >= ended >= 0.3  # it continues where the other was
            person.expect(person.page.locator(".clip.current h3")).to_have_text(now)
        assert [sound.evaluate("audio => audio.error") for sound in sounds.values()] == [None, None, None]


def test_a_click_on_a_picture_goes_there(visit: Any, fake: Any, wav: Any, tone: Any) -> None:
    with visit(fake) as person:
        person.upload("tone.wav", wav(tone(2.0)))
        picture = person.clip("Original").get_by_role("img", name="Spectrogram")
        box = picture.bounding_box()
        picture.click(position={"x": 42 + (box["width"] - 42) / 2, "y": 20})
        sound = person.clip("Original").locator("audio")
        assert sound.evaluate("audio => audio.currentTime") == pytest.approx(1.0, abs=0.02)


def test_earlier_results_can_be_kept_and_compared(visit: Any, fake: Any) -> None:
    with visit(fake) as person:
        person.page.get_by_label("keep earlier results").check()
        for seed in ("1", "2"):
            person.field("seed").fill(seed)
            person.speak("Done: 1 of 1 model.")
            person.expect(person.clip(f"fake, seed {seed}")).to_be_visible()
        person.page.get_by_label("Difference from").select_option(label="fake, seed 1")
        caption = "Beside fake, seed 1: "
        person.expect(person.clip("fake, seed 2")).to_contain_text(caption)
        person.expect(person.clip("Original")).to_contain_text(caption)
        person.expect(person.clip("fake, seed 1").get_by_text("Beside")).to_be_hidden()


def test_the_contract_and_a_preset(visit: Any, fake: Any, new_mel: Any, npy: Any) -> None:
    with visit(fake) as person:
        person.page.get_by_text("Mel config: nvidia").click()
        row = person.page.get_by_role("row", name="hop_length")
        person.expect(row.get_by_role("cell")).to_have_text("256 samples")
        person.expect(person.page.get_by_label("The mel was made with")).to_be_hidden()
        person.upload("speech.npy", npy(new_mel()))
        person.page.get_by_label("The mel was made with").select_option(label="espnet (through an adapter)")
        person.button("Synthesize").click()
        person.expect(person.clip("fake").locator("dt:text-is('adapted from') + dd")).to_have_text("espnet")


def test_what_the_mel_guard_says_is_shown(visit: Any, fake: Any) -> None:
    def add(route: Any) -> None:
        answer = route.fetch()
        headers = {**answer.headers, "x-mel-guard": "unlike speech", "x-mel-guard-nearest": "espnet"}
        route.fulfill(response=answer, headers=headers)

    with visit(fake) as person:
        person.page.route("**/v1/synthesize*", add)
        person.speak("Done: 1 of 1 model.")
        person.expect(person.clip("fake").locator("dt:text-is('mel guard') + dd")).to_have_text("unlike speech")
        person.expect(person.clip("fake").locator("dt:text-is('mel guard: nearest') + dd")).to_have_text("espnet")
