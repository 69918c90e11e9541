"""A text-to-speech service for pipecat: an acoustic model makes the mel, a server of this project the audio meanwhile.

    python examples/pipecat_tts.py speech.wav -o copy.wav --server http://127.0.0.1:8000

`FlowVocoderTTSService` is what a voice agent needs: give it your acoustic model. The program below has none. It puts
the service into a pipeline, and its "acoustic model" takes the mel of a recording whose path is the text. It needs
`pip install pipecat-ai '.[client]'`, in an environment of its own where others want a newer protobuf.
"""

import argparse
import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import EndFrame, ErrorFrame, Frame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner

from vocoder.audio import write_audio
from vocoder.client import AsyncClient, VocoderError

Mel = NDArray[np.float32]
PIECE_FRAMES = 16


class FlowVocoderTTSService(TTSService):
    """Text to audio frames. When the user interrupts, the stream is closed and the server stops computing.

    Args:
        acoustic: yields the mel of a text in pieces (n_mels, frames), as soon as it has them.
        client: of the server.
        options: of `AsyncClient.stream`, such as `{"preset": "cosyvoice2", "seed": 1}`.
        **further: of pipecat's TTSService. The server resamples to its `sample_rate`.
    """

    def __init__(
        self, acoustic: Callable[[str], AsyncIterator[Mel]], client: AsyncClient, options: Any = None, **further: Any
    ) -> None:
        settings = TTSSettings(model=(options or {}).get("model"), voice=None, language=None)
        super().__init__(push_start_frame=True, push_stop_frames=True, settings=settings, **further)
        self._acoustic = acoustic
        self._client = client
        self._options = options or {}

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Yield the audio of a text."""
        await self.start_tts_usage_metrics(text)
        options = {**self._options, "sample_rate": self.sample_rate}
        try:
            async with self._client.stream(self._acoustic(text), **options) as speech:
                async for x in speech:
                    await self.stop_ttfb_metrics()
                    yield TTSAudioRawFrame(pcm(x), self.sample_rate, 1, context_id=context_id)
        except VocoderError as error:
            yield ErrorFrame(error=f"no speech: {error}")


def pcm(x: NDArray[np.float32]) -> bytes:
    """Return audio (T,) as 16-bit integers."""
    return np.clip(np.rint(x * 32768.0), -32768.0, 32767.0).astype("<i2").tobytes()


class Listener(FrameProcessor):
    """Keeps the audio that reaches the end of a pipeline; in an agent this is the transport."""

    def __init__(self) -> None:
        super().__init__()
        self.audio = b""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take one frame."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.audio += frame.audio
        await self.push_frame(frame, direction)


async def say(text: str, server: str, sample_rate: int) -> NDArray[np.float32]:
    """Return what a pipeline of the service says to a text: the path of a recording."""
    async with AsyncClient(server, trust_env=False) as client:

        async def acoustic(path: str) -> AsyncIterator[Mel]:
            mel = await client.mel(path)
            for start in range(0, mel.shape[1], PIECE_FRAMES):
                yield mel[:, start : start + PIECE_FRAMES]

        listener = Listener()
        service = FlowVocoderTTSService(acoustic, client, {"seed": 1}, sample_rate=sample_rate)
        worker = PipelineWorker(Pipeline([service, listener]), cancel_on_idle_timeout=False)
        runner = WorkerRunner()
        await runner.add_workers(worker)
        await worker.queue_frames([TTSSpeakFrame(text), EndFrame()])
        await runner.run()
    return np.frombuffer(listener.audio, "<i2").astype(np.float32) / 32768.0


def main(argv: Sequence[str] | None = None) -> int:
    """Synthesize into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="what the acoustic model takes; here the path of a recording")
    parser.add_argument("-o", "--output", type=Path, required=True, help="audio file")
    parser.add_argument("--server", metavar="URL", default="http://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("--sample-rate", type=int, default=24000, help="of the pipeline in Hz (default: %(default)s)")
    args = parser.parse_args(argv)
    x = asyncio.run(say(args.text, args.server, args.sample_rate))
    write_audio(args.output, x, args.sample_rate)
    print(f"{args.output}: {len(x) / args.sample_rate:.2f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
