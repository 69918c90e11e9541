"""Synthesizing recordings and mels, and playing, viewing and downloading the results."""

import base64
import io

import numpy as np
import pytest
import soundfile
from http_helpers import encoded, npy, tone
from matplotlib.image import imread

from vocoder.admission import admit


def test_a_recording_is_synthesized_by_two_models(visit, two_fakes):
    with visit(*two_fakes) as visitor:
        visitor.expect(visitor.clip("Original")).to_contain_text("example-en.flac")  # the page's initial recording
        visitor.upload("tone.wav", encoded(tone()))
        visitor.field("two").check()
        visitor.settings()
        visitor.field("Seed").fill("7")
        warm = [fake.calls for fake in two_fakes]
        visitor.synthesize("Done: 2 of 2 models.")
        visitor.expect(visitor.page.get_by_role("article")).to_have_count(3)
        for name in ("one", "two"):
            card = visitor.clip(name)
            for word in ("× real time", "time of queue", "1.01 s at 22,050 Hz"):
                visitor.expect(card).to_contain_text(word)
            visitor.expect(card.locator("dt:text-is('seed') + dd")).to_have_text("7")
            visitor.expect(card.get_by_role("img")).to_have_count(2)
            assert card.locator("audio").evaluate("audio => audio.error") is None
    assert all(fake.calls > calls for fake, calls in zip(two_fakes, warm, strict=True))


def test_the_downloaded_clip_is_the_audio_of_the_model(visit, fake, new_mel):
    mel = new_mel(frames=40)
    with visit(fake) as visitor:
        visitor.upload("speech.npy", npy(mel))
        visitor.expect(visitor.clip("Mel")).to_contain_text("80 bands, 40 frames")
        visitor.settings()
        visitor.field("Seed").fill("3")
        visitor.page.get_by_label("sigma").fill("0.25")
        visitor.page.get_by_label("Corrections").select_option("closest (20)")
        visitor.page.get_by_label("sharpen").fill("0.5")
        visitor.synthesize("Done: 1 of 1 model.")
        visitor.expect(visitor.clip("fake").locator("dt:text-is('mel sharpened') + dd")).to_have_text("0.5")
        with visitor.page.expect_download() as download:
            visitor.clip("fake").get_by_role("link", name="Download WAV").click()
        x, sample_rate = soundfile.read(download.value.path())
    assert (download.value.suggested_filename, sample_rate) == ("fake-seed3.wav", fake.sample_rate)
    sharpened = admit(mel, fake.mel_config).sharpened(0.5).mel[0].numpy()
    np.testing.assert_allclose(x, fake.synthesize(sharpened, seed=3, sigma=0.25, corrections=20), atol=1.0 / 32768.0)


def test_clips_can_be_played_and_switched(visit, two_fakes):
    with visit(*two_fakes) as visitor:
        visitor.upload("tone.wav", encoded(tone(20.0)))  # longer than this test takes on a busy machine
        visitor.field("two").check()
        visitor.synthesize("Done: 2 of 2 models.")
        sounds = {name: visitor.clip(name).locator("audio") for name in ("Original", "one", "two")}
        for sound in sounds.values():
            assert sound.evaluate("audio => audio.duration") == pytest.approx(20.0, abs=0.05)
        for before, now in ((None, "Original"), ("Original", "one"), ("one", "two")):
            visitor.button(f"Play {now}").focus()
            visitor.page.keyboard.press("Space")
            visitor.wait(sounds[now], "audio => !audio.paused && audio.currentTime > 0.3")
            if before is not None:
                assert sounds[before].evaluate("audio => audio.paused")
                started, ended = (sounds[name].evaluate("audio => audio.currentTime") for name in (now, before))
                assert started >= ended >= 0.3  # it continues at the position of the other
            visitor.expect(visitor.page.locator(".clip.current h3")).to_have_text(now)
        visitor.button("Play two").click()
        ended = [sound.evaluate("audio => [audio.paused, audio.error]") for sound in sounds.values()]
        assert ended == [[True, None]] * 3


def test_a_click_on_a_picture_seeks_to_its_position(visit, fake):
    with visit(fake) as visitor:
        visitor.upload("tone.wav", encoded(tone(4.0)))
        picture = visitor.clip("Original").get_by_role("img", name="Spectrogram")
        picture.click(position={"x": picture.bounding_box()["width"] / 2, "y": 20})
        visitor.button("Play Original").click()
        sound = visitor.clip("Original").locator("audio")
        visitor.wait(sound, "audio => audio.currentTime >= 1.98")
        visitor.button("Play Original").click()
        assert 1.98 <= (time := sound.evaluate("audio => audio.currentTime")) < 4.0
        visitor.page.keyboard.press("ArrowLeft")
        assert sound.evaluate("audio => audio.currentTime") == pytest.approx(time - 0.5, abs=0.05)


def test_a_phone_shows_the_result_first(visit, fake):
    with visit(fake, window={"viewport": {"width": 390, "height": 844}, "has_touch": True}) as visitor:
        visitor.expect(visitor.clip("Original")).to_be_visible()
        visitor.synthesize("Done: 1 of 1 model.")
        visitor.expect(visitor.clip("fake").locator("h3")).to_be_in_viewport()
        assert visitor.page.locator(".clip h3").all_inner_texts() == ["fake", "Original"]


def test_earlier_results_can_be_kept(visit, fake):
    with visit(fake) as visitor:
        visitor.page.get_by_label("keep earlier results").check()
        visitor.settings()
        for seed in ("1", "2"):
            visitor.field("Seed").fill(seed)
            visitor.synthesize("Done: 1 of 1 model.")
            visitor.expect(visitor.clip(f"fake, seed {seed}")).to_be_visible()
        assert visitor.page.locator(".clip h3").all_inner_texts() == ["fake, seed 2", "fake, seed 1", "Original"]


def test_the_mel_config_is_shown_and_a_preset_can_be_chosen(visit, fake, new_mel):
    with visit(fake) as visitor:
        visitor.page.get_by_role("group", name="Models").get_by_text("Details").click()
        visitor.expect(visitor.page.locator("dt:text-is('hop_length') + dd")).to_have_text("256")
        visitor.expect(visitor.page.get_by_label("How the mel was made")).to_be_hidden()
        visitor.upload("speech.npy", npy(new_mel()))
        visitor.page.get_by_label("How the mel was made").select_option(label="espnet (through an adapter)")
        visitor.button("Synthesize").click()
        visitor.expect(visitor.clip("fake")).to_contain_text("through the espnet adapter")


def test_an_unlikely_mel_can_be_treated_as_the_recognised_preset(visit, fake, new_mel):
    def doubt(route):
        answer = route.fetch()
        message = {"x-mel-guard-message": "The mel looks like the espnet preset: pass preset=espnet."}
        route.fulfill(response=answer, headers=answer.headers | ({} if "preset=" in route.request.url else message))

    with visit(fake, guard="off") as visitor:  # mels of the fake are not speech
        visitor.page.route("**/v1/synthesize*", doubt)
        visitor.upload("speech.npy", npy(new_mel()))
        visitor.synthesize("Done: 1 of 1 model.")
        visitor.expect(visitor.page.locator(".doubt")).to_contain_text("looks like the espnet preset")
        visitor.button("Treat as espnet").click()
        visitor.expect(visitor.clip("fake")).to_contain_text("through the espnet adapter")
        visitor.expect(visitor.page.locator("#problems")).to_be_empty()


def colours(canvas):
    png = base64.b64decode(canvas.evaluate("canvas => canvas.toDataURL('image/png')").partition(",")[2])
    return np.round(255.0 * imread(io.BytesIO(png), format="png")).astype(int)


def test_pictures_match_the_audio(visit, fake):
    sample_rate = fake.sample_rate
    x = np.concatenate([np.zeros(sample_rate), tone(1.0, 0.75 * sample_rate / 2.0)])
    with visit(fake) as visitor:
        visitor.upload("late.wav", encoded(x))
        card = visitor.clip("Original")
        pixels = colours(card.get_by_role("img", name="Spectrogram"))[:, :, :3].sum(axis=2)
        rows, columns = np.argwhere(pixels > 600).mean(axis=0) / pixels.shape
        assert (rows, columns) == pytest.approx((0.25, 0.75), abs=0.02)  # at a quarter from the top, in the second half
        wave = colours(card.get_by_role("img", name="Waveform"))
        inked = (wave[:, :, 3] > 128).sum(axis=0)
        assert inked[: len(inked) // 2 - 2].max() <= 2
        assert inked[len(inked) // 2 + 2 : -2].min() > 0.4 * wave.shape[0]  # half of full scale
