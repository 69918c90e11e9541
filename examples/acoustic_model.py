"""Text to speech: an acoustic model of Hugging Face transformers makes the mel, this vocoder the audio.

    python examples/acoustic_model.py fastspeech2 "Good morning." -o morning.wav --statistics feats_stats.npz
    python examples/acoustic_model.py speecht5 "Good morning." -o morning.wav --speaker xvector.npy
    python examples/acoustic_model.py speecht5 "Good morning." -o morning.wav --server http://127.0.0.1:8000
    python examples/acoustic_model.py fastspeech2 --random -o noise.wav    # random weights: nothing is downloaded

It needs the extra `acoustic`, and for text `g2p-en` (FastSpeech2Conformer) or `sentencepiece` (SpeechT5).

FastSpeech2Conformer is ESPnet's: it predicts decimal logarithms of 80 bands from 80 to 7600 Hz at 22,050 Hz, normalised
by the mean and variance of its corpus. transformers lacks these; ESPnet's models of LJSpeech have them in the file
feats_stats.npz. SpeechT5 (arXiv 2110.07205) predicts the same bands at 16 kHz, every 16 ms, not normalised; the audio
has the vocoder's own rate, with a band that it guesses above 8 kHz.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import vocoder
from vocoder.audio import Origin, write_audio
from vocoder.client import Client

Mel = NDArray[np.float32]
LETTERS = 40  # for random weights without a sentence
QUIET = -2.5  # log10: about where bands of speech lie


def fastspeech2(text: str | None, letters: int, speaker: torch.Tensor) -> torch.Tensor:
    """Return the mel (frames, 80) of English text; of as many random phonemes by random weights where it is None."""
    if text is None:
        model = transformers.FastSpeech2ConformerModel(transformers.FastSpeech2ConformerConfig())
        model.speech_decoder_postnet.feat_out.bias.data.fill_(QUIET)
        model.speech_decoder_postnet.layers[-1].batch_norm.weight.data.fill_(0.1)  # else the mel is refused as too loud
        model.duration_predictor.linear.bias.data.fill_(1.8)  # exp(1.8) - 1: five frames for each phoneme
        tokens = torch.randint(1, model.config.vocab_size - 1, (1, letters))
    else:
        published = "espnet/fastspeech2_conformer"
        model = transformers.FastSpeech2ConformerModel.from_pretrained(published)
        read = transformers.FastSpeech2ConformerTokenizer.from_pretrained(published)  # with g2p-en
        tokens = read(text, return_tensors="pt").input_ids
    return model.eval()(tokens, return_dict=True).spectrogram[0]  # normalised, unless random


def speecht5(text: str | None, letters: int, speaker: torch.Tensor) -> torch.Tensor:
    """As `fastspeech2`, in the voice of an x-vector (1, 512)."""
    if text is None:
        model = transformers.SpeechT5ForTextToSpeech(transformers.SpeechT5Config())
        model.speech_decoder_postnet.feat_out.bias.data.fill_(QUIET)
        model.speech_decoder_postnet.prob_out.bias.data.fill_(-9.0)  # it ends when it must
        tokens = torch.randint(4, model.config.vocab_size, (1, letters))
    else:
        published = "microsoft/speecht5_tts"
        model = transformers.SpeechT5ForTextToSpeech.from_pretrained(published)
        read = transformers.SpeechT5Tokenizer.from_pretrained(published)  # with sentencepiece
        tokens = read(text, return_tensors="pt").input_ids
    return model.eval().generate_speech(tokens, speaker, maxlenratio=10.0)  # without a vocoder


Predict = Callable[[str | None, int, torch.Tensor], torch.Tensor]
MODELS: dict[str, tuple[Predict, str]] = {"fastspeech2": (fastspeech2, "espnet"), "speecht5": (speecht5, "speecht5")}
"""the models, and the presets of their mels"""


@torch.inference_mode()
def mel_of(name: str, text: str | None, letters: int = LETTERS, speaker: Path | None = None) -> Mel:
    """Return the mel (80, frames) that a model makes of a text, or by random weights."""
    torch.manual_seed(0)
    voice = torch.zeros(1, 512) if speaker is None else torch.from_numpy(np.load(speaker)).reshape(1, 512).float()
    mel: Mel = MODELS[name][0](text, letters, voice).T.numpy()
    return mel


def synthesize(
    mel: Mel, preset: str, statistics: Path | None, server: str | None
) -> tuple[NDArray[np.float32], int, Origin | None]:
    """Return audio (T,), its sample rate and its mark, from a server or from a vocoder in this process."""
    config = vocoder.load_mel_config(preset, statistics)
    if server is None:
        v = vocoder.load()
        return v.synthesize(mel, preset=config, seed=1), v.sample_rate, v.origin(seed=1)
    with Client(server, trust_env=False) as client:
        speech = client.synthesize(mel, preset=preset, mean=config.mean, variance=config.variance, seed=1)
    return speech.x, speech.sample_rate, speech.origin


def main(argv: Sequence[str] | None = None) -> int:
    """Synthesize a sentence into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("text", nargs="?", help="a sentence in English")
    parser.add_argument("-o", "--output", type=Path, required=True, help="audio file")
    parser.add_argument(
        "--speaker", type=Path, help="npy file with an x-vector (512,) for SpeechT5; else a neutral one"
    )
    parser.add_argument(
        "--statistics", type=Path, help="mean and variance that FastSpeech2Conformer's mels are normalised by"
    )
    parser.add_argument("--server", metavar="URL", help="synthesize over HTTP instead of in this process")
    parser.add_argument(
        "--random", action="store_true", help="random weights, of as many tokens as the text has letters"
    )
    args = parser.parse_intermixed_args(argv)
    if args.text is None and not args.random:
        parser.error("give a sentence, or --random")
    if args.model == "fastspeech2" and args.statistics is None and not args.random:
        parser.error("fastspeech2 needs --statistics, such as the feats_stats.npz of ESPnet's model")
    letters = len(args.text or "") or LETTERS
    mel = mel_of(args.model, None if args.random else args.text, letters, args.speaker)
    x, sample_rate, origin = synthesize(mel, MODELS[args.model][1], args.statistics, args.server)
    write_audio(args.output, x, sample_rate, origin=origin)
    print(f"{args.output}: {len(x) / sample_rate:.2f} s from a mel of {mel.shape[1]} frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
