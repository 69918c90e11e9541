"""Text to speech: FastSpeech2Conformer of Hugging Face transformers makes the mel, this vocoder the audio.

    python examples/fastspeech2_conformer.py "Good morning." -o morning.wav
    python examples/fastspeech2_conformer.py "Good morning." -o morning.wav --server http://127.0.0.1:8000
    python examples/fastspeech2_conformer.py --random -o noise.wav    # random weights: nothing is downloaded

It needs the extra `acoustic`, and for text `g2p-en`. The model is ESPnet's: it predicts decimal logarithms of 80 bands
from 80 to 7600 Hz at 22,050 Hz, with the statistics of its corpus already taken off, so the preset is `espnet`. (The
vocoder of transformers, FastSpeech2ConformerHifiGan, would put the statistics back on by itself.)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import FastSpeech2ConformerConfig, FastSpeech2ConformerModel

import vocoder
from vocoder.audio.file import write_audio
from vocoder.client import Client

PUBLISHED = "espnet/fastspeech2_conformer"
PRESET = "espnet"
TOKENS = 40  # for random weights without a sentence
QUIET = -2.5  # log10: about where bands of speech lie


def published() -> FastSpeech2ConformerModel:
    """Return the model as it was published, from the Hugging Face Hub."""
    return FastSpeech2ConformerModel.from_pretrained(PUBLISHED).eval()


def tokens_of(text: str) -> torch.Tensor:
    """Return the phonemes (1, tokens) of English text."""
    from transformers import FastSpeech2ConformerTokenizer  # with g2p-en

    tokens: torch.Tensor = FastSpeech2ConformerTokenizer.from_pretrained(PUBLISHED)(text, return_tensors="pt").input_ids
    return tokens


def at_random(count: int = 0) -> tuple[FastSpeech2ConformerModel, torch.Tensor]:
    """Return a model of the published shape with random weights, as loud as speech, and `count` random phonemes."""
    torch.manual_seed(0)
    model = FastSpeech2ConformerModel(FastSpeech2ConformerConfig()).eval()
    with torch.no_grad():
        model.speech_decoder_postnet.feat_out.bias.fill_(QUIET)
        model.duration_predictor.linear.bias.fill_(1.8)  # exp(1.8) - 1: five frames for each phoneme
    return model, torch.randint(1, model.config.vocab_size - 1, (1, count or TOKENS))


@torch.inference_mode()
def predict(model: FastSpeech2ConformerModel, tokens: torch.Tensor) -> NDArray[np.float32]:
    """Return the mel (80, frames) of phonemes (1, tokens)."""
    spectrogram = model(tokens, return_dict=True).spectrogram  # (1, frames, 80)
    mel: NDArray[np.float32] = spectrogram[0].T.numpy()
    return mel


def speak_here(mel: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Return audio (T,) and its sample rate, from a vocoder in this process."""
    v = vocoder.load("waveglow")
    return v.synthesize(mel, preset=PRESET, seed=1), v.sample_rate


def speak_there(mel: NDArray[np.float32], server: str) -> tuple[NDArray[np.float32], int]:
    """Return audio (T,) and its sample rate, from a server."""
    with Client(server, trust_env=False) as client:
        speech = client.synthesize(mel, preset=PRESET, seed=1)
    return speech.x, speech.sample_rate


def main(argv: Sequence[str] | None = None) -> int:
    """Speak a sentence into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="?", help="a sentence in English")
    parser.add_argument("-o", "--output", type=Path, required=True, help="audio file")
    parser.add_argument("--server", metavar="URL", help="speak over HTTP instead of in this process")
    parser.add_argument(
        "--random", action="store_true", help="random weights and phonemes, as many as the text has letters"
    )
    args = parser.parse_args(argv)
    if args.text is None and not args.random:
        parser.error("give a sentence, or --random")
    model, tokens = at_random(len(args.text or "")) if args.random else (published(), tokens_of(args.text))
    mel = predict(model, tokens)
    x, sample_rate = speak_there(mel, args.server) if args.server else speak_here(mel)
    write_audio(args.output, x, sample_rate)
    print(f"{args.output}: {len(x) / sample_rate:.2f} s from a mel of {mel.shape[1]} frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
