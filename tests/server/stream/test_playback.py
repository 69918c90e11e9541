import time

import pytest
from answers import metrics
from streamers import mel_of

from server.stream.audio import Playback


def test_only_the_server_s_own_time_makes_a_pause():
    now = 0.0
    playback = Playback(lambda: now)
    for wait, work, seconds, late in (
        (5.0, 9.0, 1.0, 0.0),  # the first audio is not late, whenever it comes
        (0.25, 0.5, 2.0, 0.0),
        (0.0, 2.25, 2.5, 1.0),
        (7.0, 0.125, 3.0, 0.125),  # the client took its time, and has nothing left
        (0.0, 0.25, 4.0, 0.0),
    ):
        now += wait
        playback.work()
        now += work
        playback.work()  # what was computed gave no audio yet
        playback.deliver(seconds)
        assert playback.late == pytest.approx(late)
    assert playback.dry_seconds == pytest.approx(1.125)


def test_a_stream_that_ran_dry_is_counted_and_told(talk, streamer, wait_until):
    with talk(streamer) as dial:
        for report in (True, False):
            streamer.shut_after = streamer.steps + 1
            with dial() as speaker:
                speaker.begin(seed=3, report_dry=report)
                speaker.send(mel_of(200))
                speaker.end()
                wait_until(lambda: not streamer.gate.is_set())
                time.sleep(0.3)  # longer than the first chunk plays
                streamer.gate.set()
                _, told = speaker.rest()
                if report:
                    assert told.keys() == {"type", "seconds"}
                    assert (told["type"], told["seconds"] > 0.0) == ("dry", True)
                    while told["type"] == "dry":
                        _, told = speaker.rest()
            assert told["type"] == "done"
            assert told["dry_seconds"] > 0.0
        assert 'vocoder_dry_streams_total{route="/v1/stream"} 2.0' in metrics(dial.url)
