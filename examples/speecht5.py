"""Text to speech: SpeechT5 of Hugging Face transformers makes the mel, this vocoder the audio.

    python examples/speecht5.py "Good morning." -o morning.wav --speaker xvector.npy
    python examples/speecht5.py "Good morning." -o morning.wav --server http://127.0.0.1:8000
    python examples/speecht5.py --random -o noise.wav    # random weights: nothing is downloaded

It needs the extra `acoustic`, and for text `sentencepiece`. SpeechT5 (arXiv 2110.07205) predicts decimal logarithms of
80 bands from 80 to 7600 Hz at 16 kHz, every 16 ms, so the preset is `speecht5`. The vocoder speaks at its own rate,
22,050 Hz, with a band that it guesses above 8 kHz; `--sample-rate 16000` gives audio as SpeechT5's own vocoder would.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import SpeechT5Config, SpeechT5ForTextToSpeech

import vocoder
from vocoder.audio.file import write_audio
from vocoder.audio.resampling import resample
from vocoder.client import Client

PUBLISHED = "microsoft/speecht5_tts"
PRESET = "speecht5"
TOKENS = 24  # for random weights without a sentence
QUIET = -2.5  # log10: about where bands of speech lie


def published() -> SpeechT5ForTextToSpeech:
    """Return the model as it was published, from the Hugging Face Hub."""
    return SpeechT5ForTextToSpeech.from_pretrained(PUBLISHED).eval()


def tokens_of(text: str) -> torch.Tensor:
    """Return the characters (1, tokens) of English text."""
    from transformers import SpeechT5Tokenizer  # with sentencepiece

    tokens: torch.Tensor = SpeechT5Tokenizer.from_pretrained(PUBLISHED)(text, return_tensors="pt").input_ids
    return tokens


def at_random(count: int = 0) -> tuple[SpeechT5ForTextToSpeech, torch.Tensor]:
    """Return a model of the published shape with random weights, as loud as speech, and `count` random characters."""
    torch.manual_seed(0)
    model = SpeechT5ForTextToSpeech(SpeechT5Config()).eval()
    with torch.no_grad():
        model.speech_decoder_postnet.feat_out.bias.fill_(QUIET)
        model.speech_decoder_postnet.prob_out.bias.fill_(-9.0)  # it ends when it must
    return model, torch.randint(4, model.config.vocab_size, (1, count or TOKENS))


@torch.inference_mode()
def predict(model: SpeechT5ForTextToSpeech, tokens: torch.Tensor, speaker: torch.Tensor) -> NDArray[np.float32]:
    """Return the mel (80, frames) of characters (1, tokens) in the voice of an x-vector (1, 512)."""
    spectrogram = model.generate_speech(tokens, speaker, maxlenratio=10.0)  # (frames, 80), without a vocoder
    mel: NDArray[np.float32] = spectrogram.T.numpy()
    return mel


def speak_here(mel: NDArray[np.float32], sample_rate: int | None = None) -> tuple[NDArray[np.float32], int]:
    """Return audio (T,) and its sample rate, from a vocoder in this process."""
    v = vocoder.load("waveglow")
    x = v.synthesize(mel, preset=PRESET, seed=1)
    rate = sample_rate or v.sample_rate
    return resample(x, v.sample_rate, rate), rate


def speak_there(
    mel: NDArray[np.float32], server: str, sample_rate: int | None = None
) -> tuple[NDArray[np.float32], int]:
    """Return audio (T,) and its sample rate, from a server."""
    with Client(server, trust_env=False) as client:
        speech = client.synthesize(mel, preset=PRESET, seed=1, sample_rate=sample_rate)
    return speech.x, speech.sample_rate


def main(argv: Sequence[str] | None = None) -> int:
    """Speak a sentence into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="?", help="a sentence in English")
    parser.add_argument("-o", "--output", type=Path, required=True, help="audio file")
    parser.add_argument("--speaker", type=Path, help="npy file with an x-vector (512,); a neutral one if left out")
    parser.add_argument("--server", metavar="URL", help="speak over HTTP instead of in this process")
    parser.add_argument("--sample-rate", type=int, help="of the audio in Hz (the vocoder's own)")
    parser.add_argument(
        "--random", action="store_true", help="random weights and characters, as many as the text has letters"
    )
    args = parser.parse_args(argv)
    if args.text is None and not args.random:
        parser.error("give a sentence, or --random")
    model, tokens = at_random(len(args.text or "")) if args.random else (published(), tokens_of(args.text))
    speaker = torch.zeros(1, 512) if args.speaker is None else torch.from_numpy(np.load(args.speaker)).reshape(1, 512)
    mel = predict(model, tokens, speaker.float())
    x, rate = speak_there(mel, args.server, args.sample_rate) if args.server else speak_here(mel, args.sample_rate)
    write_audio(args.output, x, rate)
    print(f"{args.output}: {len(x) / rate:.2f} s from a mel of {mel.shape[1]} frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
