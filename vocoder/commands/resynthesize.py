"""`vocoder resynthesize`: compute a recording's mel-spectrogram and synthesize it."""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from vocoder.audio.reading import read_audio
from vocoder.audio.resampling import resample
from vocoder.bulk.record import synthesis_of
from vocoder.bulk.synthesis import BulkOptions
from vocoder.commands.files import add_recording_arguments, each, pairs, source_of, suffix_of, write_speech
from vocoder.commands.sampling import add_synthesis_arguments, sampling_of
from vocoder.loading import load
from vocoder.mel.spectrogram import mel_of
from vocoder.sampling import sampling_fields
from vocoder.synthesis.synthesizer import Synthesizer


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_recording_arguments(parser, "audio file to write, in the format of its suffix")
    add_synthesis_arguments(parser)


def run(args: Namespace) -> int:
    """Resynthesize each recording at the model's sample rate, keeping its duration."""
    options = BulkOptions(
        args.model, sampling_of(args), args.device, args.format or "wav", "off", args.origin, args.dtype
    )
    synthesizer = load(args.model, args.device, args.dtype, guard="off")  # raises before audio is deleted
    made = ("resynthesize", synthesis_of(options))
    files = pairs(args.audio, args.output, suffix_of(args.format), again=args.again, made=made)
    return each("vocoder resynthesize", files, args.output, partial(_make, synthesizer, args))


def _make(synthesizer: Synthesizer, args: Namespace, source: Path, target: Path) -> str:
    recording, file_rate = read_audio(source_of(source))
    sample_rate = synthesizer.sample_rate
    x = resample(recording, file_rate, sample_rate)
    mel = mel_of(x, synthesizer.mel_config)
    sampling = sampling_of(args).seeded()
    x_hat = synthesizer.synthesize(mel, **sampling_fields(sampling))[: len(x)]
    origin = synthesizer.origin(sampling.seed) if args.origin else None
    report = write_speech(target, x_hat, sample_rate, args.format, origin)
    resampled = f", resampled from {file_rate} Hz to the model's {sample_rate} Hz" if file_rate != sample_rate else ""
    return f"{len(x) / sample_rate:.2f} s{resampled}, {report}"
