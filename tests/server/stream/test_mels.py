import math
from dataclasses import replace

import pytest
from recordings import mel_of
from speaker import speak
from streamers import Streamer

from vocoder.mel.config import preset

NVIDIA = preset("nvidia")


@pytest.fixture
def mel():
    return mel_of("nvidia").numpy()


def test_the_last_message_tells_of_what_is_sent_not_of_what_is_made_of_it(talk, streamer, mel):
    decimal = Streamer("decimal", replace(NVIDIA, name="decimal", log="log10"))
    with talk(streamer, decimal) as dial:
        for given, cause in ((mel, "typical"), (mel / math.log(10.0), "log10")):
            for model, frames in ((streamer, 100), (streamer, 300), (decimal, 200)):  # judged at its end, or before
                with dial() as speaker:
                    _, done = speak(speaker, given[:, :frames], 40, model=model.name, preset="nvidia")
                assert (done["guard"]["cause"], done["guard"]["typical"]) == (cause, cause == "typical")
                assert done["frames"] == frames


def test_messages_of_bands_instead_of_frames_are_refused(talk, streamer, mel):
    with talk(streamer) as dial:
        cosyvoice = mel_of("cosyvoice2").numpy()  # which the guard does not know
        for name, mel, frames in (*(("nvidia", mel, n) for n in (7, 20, 80, 100, 300)), ("cosyvoice2", cosyvoice, 20)):
            with dial() as speaker:
                assert speaker.begin(preset=name)["layout"] == "(frames, n_mels)"
                for start in range(0, 300, frames):
                    speaker.connection.send(mel[:, start : min(start + frames, 300)].tobytes())
                speaker.end()
                problem, code, name = speaker.refusal()
            assert (code, name) == (4422, "invalid-mel")
            assert "look transposed" in problem["detail"]
            assert "(frames, 80)" in problem["detail"]
