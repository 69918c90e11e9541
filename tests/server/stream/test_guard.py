"""The mel guard on a WebSocket: it judges how a mel begins while more of it comes."""

import math
from dataclasses import replace

import pytest
from recordings import mel_of
from speaker import speak
from streamers import Streamer

from vocoder.mel.config import preset


@pytest.fixture
def mel():
    return mel_of("nvidia").numpy()


def test_the_last_message_tells(talk, streamer, mel):
    with talk(streamer) as dial:
        for given, cause in ((mel, "typical"), (mel / math.log(10.0), "log10")):
            for frames in (100, 300):  # judged at its end, and on the way
                with dial() as speaker:
                    _, done = speak(speaker, given[:, :frames], 40)
                assert (done["guard"]["cause"], done["guard"]["typical"]) == (cause, cause == "typical")
                assert done["frames"] == frames


def test_strict_refuses_before_the_mel_has_ended(talk, streamer, mel):
    with talk(streamer) as dial, dial() as speaker:
        speaker.hello(guard="strict")
        speaker.text()
        speaker.send(mel[:, :130] / math.log(10.0), 50)
        problem, code, name = speaker.refusal()
        assert problem["type"].endswith("unlikely-mel")
        assert problem["guard"]["cause"] == "log10"
        assert (code, name) == (4422, "unlikely-mel")


def test_messages_of_bands_instead_of_frames_are_refused(talk, streamer, mel):
    with talk(streamer) as dial:
        for frames in (7, 20, 80, 100, 300):
            with dial() as speaker:
                speaker.hello()
                assert speaker.text()["layout"] == "(frames, n_mels)"
                for start in range(0, 300, frames):
                    speaker.connection.send(mel[:, start : min(start + frames, 300)].tobytes())
                speaker.end()
                problem, code, name = speaker.refusal()
            assert (code, name) == (4422, "invalid-mel")
            assert "look transposed" in problem["detail"]
            assert "(frames, 80)" in problem["detail"]


def test_what_is_sent_is_judged_not_what_is_made_of_it(talk, mel):
    model = Streamer(mel_config=replace(preset("nvidia"), name="decimal", log="log10"))
    with talk(model) as dial:
        for given, cause in ((mel, "typical"), (mel / math.log(10.0), "log10")):
            with dial() as speaker:
                _, done = speak(speaker, given[:, :200], 200, preset="nvidia")
            assert done["guard"]["cause"] == cause
