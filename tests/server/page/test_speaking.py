"""A recording or a mel goes in, models speak, and what they say can be heard, seen and taken away."""

import base64
import io

import numpy as np
import pytest
import soundfile
from answers import encoded, npy
from matplotlib.image import imread

from vocoder.admission import admit


def test_a_recording_and_two_models(visit, two, tone):
    with visit(*two) as person:
        person.expect(person.clip("Original")).to_contain_text("example-en.flac")  # what the page begins with
        person.upload("tone.wav", encoded(tone()))
        person.field("two").check()
        person.settings()
        person.field("Seed").fill("7")
        warm = [fake.calls for fake in two]
        person.speak("Done: 2 of 2 models.")
        person.expect(person.page.get_by_role("article")).to_have_count(3)
        for name in ("one", "two"):
            card = person.clip(name)
            for word in ("× real time", "time of queue", "1.01 s at 22,050 Hz"):
                person.expect(card).to_contain_text(word)
            person.expect(card.locator("dt:text-is('seed') + dd")).to_have_text("7")
            person.expect(card.get_by_role("img")).to_have_count(2)
            assert card.locator("audio").evaluate("audio => audio.error") is None
    assert all(fake.calls > calls for fake, calls in zip(two, warm, strict=True))


def test_the_clip_that_can_be_downloaded_is_what_the_model_spoke(visit, fake, new_mel):
    mel = new_mel(frames=40)
    with visit(fake) as person:
        person.upload("speech.npy", npy(mel))
        person.expect(person.clip("Mel")).to_contain_text("80 bands, 40 frames")
        person.settings()
        person.field("Seed").fill("3")
        person.page.get_by_label("sigma").fill("0.25")
        person.page.get_by_label("Corrections").select_option("closest (20)")
        person.page.get_by_label("sharpen").fill("0.5")
        person.speak("Done: 1 of 1 model.")
        person.expect(person.clip("fake").locator("dt:text-is('mel sharpened') + dd")).to_have_text("0.5")
        with person.page.expect_download() as download:
            person.clip("fake").get_by_role("link", name="Download WAV").click()
        x, sample_rate = soundfile.read(download.value.path())
    assert (download.value.suggested_filename, sample_rate) == ("fake-seed3.wav", fake.sample_rate)
    heard = admit(mel, fake.mel_config).sharpened(0.5).mel[0].numpy()
    np.testing.assert_allclose(x, fake.synthesize(heard, seed=3, sigma=0.25, corrections=20), atol=1.0 / 32768.0)


def test_playing_and_switching(visit, two, tone):
    with visit(*two) as person:
        person.upload("tone.wav", encoded(tone(20.0)))  # longer than a busy machine takes for all this
        person.field("two").check()
        person.speak("Done: 2 of 2 models.")
        sounds = {name: person.clip(name).locator("audio") for name in ("Original", "one", "two")}
        for sound in sounds.values():
            assert sound.evaluate("audio => audio.duration") == pytest.approx(20.0, abs=0.05)
        for before, now in ((None, "Original"), ("Original", "one"), ("one", "two")):
            person.button(f"Play {now}").focus()
            person.page.keyboard.press("Space")
            person.wait(sounds[now], "audio => !audio.paused && audio.currentTime > 0.3")
            if before is not None:
                assert sounds[before].evaluate("audio => audio.paused")
                started, ended = (sounds[name].evaluate("audio => audio.currentTime") for name in (now, before))
                assert started >= ended >= 0.3  # it continues where the other was
            person.expect(person.page.locator(".clip.current h3")).to_have_text(now)
        person.button("Play two").click()
        ended = [sound.evaluate("audio => [audio.paused, audio.error]") for sound in sounds.values()]
        assert ended == [[True, None]] * 3


def test_a_click_on_a_picture_goes_there(visit, fake, tone):
    with visit(fake) as person:
        person.upload("tone.wav", encoded(tone(4.0)))
        picture = person.clip("Original").get_by_role("img", name="Spectrogram")
        picture.click(position={"x": picture.bounding_box()["width"] / 2, "y": 20})
        person.button("Play Original").click()
        sound = person.clip("Original").locator("audio")
        person.wait(sound, "audio => audio.currentTime >= 1.98")
        person.button("Play Original").click()
        assert 1.98 <= (time := sound.evaluate("audio => audio.currentTime")) < 4.0
        person.page.keyboard.press("ArrowLeft")
        assert sound.evaluate("audio => audio.currentTime") == pytest.approx(time - 0.5, abs=0.05)


def test_a_phone_shows_the_result_first(visit, fake):
    with visit(fake, window={"viewport": {"width": 390, "height": 844}, "has_touch": True}) as person:
        person.expect(person.clip("Original")).to_be_visible()
        person.speak("Done: 1 of 1 model.")
        person.expect(person.clip("fake").locator("h3")).to_be_in_viewport()
        assert person.page.locator(".clip h3").all_inner_texts() == ["fake", "Original"]


def test_earlier_results_can_be_kept(visit, fake):
    with visit(fake) as person:
        person.page.get_by_label("keep earlier results").check()
        person.settings()
        for seed in ("1", "2"):
            person.field("Seed").fill(seed)
            person.speak("Done: 1 of 1 model.")
            person.expect(person.clip(f"fake, seed {seed}")).to_be_visible()
        assert person.page.locator(".clip h3").all_inner_texts() == ["fake, seed 2", "fake, seed 1", "Original"]


def test_the_mel_config_and_a_preset(visit, fake, new_mel):
    with visit(fake) as person:
        person.page.get_by_role("group", name="Models").get_by_text("Details").click()
        person.expect(person.page.locator("dt:text-is('hop_length') + dd")).to_have_text("256")
        person.expect(person.page.get_by_label("How the mel was made")).to_be_hidden()
        person.upload("speech.npy", npy(new_mel()))
        person.page.get_by_label("How the mel was made").select_option(label="espnet (through an adapter)")
        person.button("Synthesize").click()
        person.expect(person.clip("fake")).to_contain_text("through the espnet adapter")


def test_a_doubtful_mel_can_be_treated_as_what_it_looks_like(visit, fake, new_mel):
    def doubt(route):
        answer = route.fetch()
        message = {"x-mel-guard-message": "The mel looks like the espnet preset: pass preset=espnet."}
        route.fulfill(response=answer, headers=answer.headers | ({} if "preset=" in route.request.url else message))

    with visit(fake, guard="off") as person:  # the fake's mels are no speech
        person.page.route("**/v1/synthesize*", doubt)
        person.upload("speech.npy", npy(new_mel()))
        person.speak("Done: 1 of 1 model.")
        person.expect(person.page.locator(".doubt")).to_contain_text("looks like the espnet preset")
        person.button("Treat as espnet").click()
        person.expect(person.clip("fake")).to_contain_text("through the espnet adapter")
        person.expect(person.page.locator("#problems")).to_be_empty()


def colours(canvas):
    """The pixels (height, width, 4) of a canvas."""
    png = base64.b64decode(canvas.evaluate("canvas => canvas.toDataURL('image/png')").partition(",")[2])
    return np.round(255.0 * imread(io.BytesIO(png), format="png")).astype(int)


def test_the_pictures_show_the_sound(visit, fake, tone):
    sample_rate = fake.sample_rate
    x = np.concatenate([np.zeros(sample_rate), tone(1.0, 0.75 * sample_rate / 2.0)])
    with visit(fake) as person:
        person.upload("late.wav", encoded(x))
        card = person.clip("Original")
        pixels = colours(card.get_by_role("img", name="Spectrogram"))[:, :, :3].sum(axis=2)
        rows, columns = np.argwhere(pixels > 600).mean(axis=0) / pixels.shape
        assert (rows, columns) == pytest.approx((0.25, 0.75), abs=0.02)  # the top quarter's edge, the second half
        wave = colours(card.get_by_role("img", name="Waveform"))
        inked = (wave[:, :, 3] > 128).sum(axis=0)
        assert inked[: len(inked) // 2 - 2].max() <= 2
        assert inked[len(inked) // 2 + 2 : -2].min() > 0.4 * wave.shape[0]  # half of full scale
