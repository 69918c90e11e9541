"""The guard's verdict on a mel, and its messages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from vocoder.adapt.path import pass_one_of
from vocoder.layers.recogniser import Guess, Recognition
from vocoder.mel import conventions
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.conventions import DB10, LOUDEST, NOT_SPEECH, PLAIN, SHUFFLED, TRANSPOSED, Convention, convention_of

UNSURE, UNFAMILIAR = "unsure", "unfamiliar"
NAMED = 0.5  # probability from which a message names the likeliest fault
MESSAGES: Mapping[str, str] = {
    "range": "{range} No preset or common scale has such values: look for an offset, a factor or a wrong dtype.",
    "padding": "In {count} frames all bands are {value:.4g}, which sounds like noise: remove padding, or pad with "
    "{silence:.4g}. If low values were clipped, as by librosa's top_db=80, use top_db=None.",
    "integers": "The mel seems to be computed from samples in -32768..32767: divide the audio by 32768, or "
    "subtract ln(32768) = 10.3972 from the mel.",
    "normalised": "The values fill {low:g}..{high:g} exactly, as if mapped from the mel's own smallest and largest "
    "value: undo that map.",
    "loud": "The mel is {decibels:.0f} dB above full scale, so its audio clips. Scale the audio to -1..1 before "
    "computing the mel, or lower the mel.",
    TRANSPOSED: "The mel looks transposed: its {n_mels} bands are columns. Send ({n_mels}, frames).",
    SHUFFLED: "The frames of the mel look like speech, but not in this order.",
    NOT_SPEECH: "The mel does not look like speech in any known convention. Its bands may be in another order, "
    "or it may be another kind of sound.",
}
"""messages of faults that do not depend on conventions"""


@dataclass(frozen=True)
class Verdict:
    """Whether a mel is typical of its mel config, and if not, what it is likely to be."""

    typical: bool
    """false if something is probably wrong"""
    typicality: float | None
    """percentage of true mels that are less likely than this one; 0 if another convention explains the mel better; None
    if there is too little to judge, or if the guard does not know the mel config"""
    cause: str
    """`typical`, `too-short`, `unfamiliar` if only gross faults can be found, or the kind of fault: `n_fft`, `log10`,
    `decibels`, `normalised`, `symmetric`, `statistics`, `no-logarithm`, `power`, `bands`, `hop`, `sample-rate`,
    `transposed`, `upside-down`, `shuffled`, `negated`, `integers`, `loud`, `padding`, `silence`, `not-speech`, `range`
    if values are impossible, `unsure` if it follows another, unclear convention"""
    message: str
    """one or two sentences: what the mel looks like and what to do"""
    preset: str | None = None
    """the preset that the mel's bands or scale belong to, if it is not the claimed one"""
    adapted: str | None = None
    """name of the adapter that converted the mel, if any"""
    smoothness: float | None = None
    """default sharpening strength at the end of the mel, 0 to 1, by how much it lacks the texture of recordings; set
    only by `check`, for a typical mel"""
    likeliest: tuple[Guess, ...] = ()
    """conventions that the mel may follow, with probabilities, most likely first"""

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain data, without `smoothness` if it is None."""
        told = {**vars(self), "likeliest": [guess.as_dict() for guess in self.likeliest]}
        return {name: value for name, value in told.items() if name != "smoothness" or value is not None}


def fault(cause: str, likeliest: tuple[Guess, ...] = (), typicality: float = 0.0, **words: object) -> Verdict:
    """Return the verdict for a fault of `MESSAGES`; `words` fill in its message."""
    return Verdict(False, typicality, cause, MESSAGES[cause].format(**words), likeliest=likeliest)


def recognised(recognition: Recognition, claimed: MelConfig, target: MelConfig) -> Verdict:
    """Return the verdict on a mel that does not follow the `claimed` mel config, for a model of `target`."""
    found = recognition.likeliest
    faults: dict[tuple[str, str | None], dict[Convention, float]] = defaultdict(dict)
    for convention, share in recognition.probabilities.items():
        faults[_fault(convention)][convention] = share
    (cause, preset), alike = max(faults.items(), key=lambda item: sum(item[1].values()))
    if cause != NOT_SPEECH and sum(alike.values()) < NAMED:
        return Verdict(False, 0.0, UNSURE, f"The mel does not follow {claimed.name}. {unsure(found)}", likeliest=found)
    if cause in (SHUFFLED, NOT_SPEECH):
        return fault(cause, found)
    like = max(alike, key=alike.__getitem__)
    return Verdict(False, 0.0, cause, _explained(like, claimed, target), preset, likeliest=found)


@cache
def _fault(convention: Convention) -> tuple[str, str | None]:
    """Return the fault that a convention counts as, and the preset with its bands."""
    if convention.layout in (SHUFFLED, NOT_SPEECH):
        return convention.layout, None
    layout, encoding = conventions.layouts()[convention.layout], conventions.encodings()[convention.encoding]
    cause = layout.cause if encoding.name == PLAIN else encoding.cause
    cause = "bands" if cause == "typical" else cause  # if the mel claims other bands
    return cause, None if layout.cause == "typical" and encoding.name != PLAIN else layout.preset


def preset_of(config: MelConfig, target: MelConfig) -> str:
    """Advise which preset to pass to a model of `target`, or which model to use, for mels of a preset."""
    return pass_one_of((config.name, *conventions.indistinguishable(config)), target)


def unsure(likeliest: Sequence[Guess]) -> str:
    """Name the two likeliest conventions, and say what to do."""
    first, second = (f"{guess.convention.words} ({100 * guess.probability:.0f} %)" for guess in likeliest[:2])
    return f"It may be {first} or {second}. Pass preset=NAME, or compute the mel with the model's mel config."


def _explained(convention: Convention, claimed: MelConfig, target: MelConfig) -> str:
    """Explain what a mel looks like, and what to do."""
    layout, encoding = conventions.layouts()[convention.layout], conventions.encodings()[convention.encoding]
    own = convention_of(claimed) == Convention(convention.layout, PLAIN)
    if own or encoding.cause == "decibels":
        return encoding_message(encoding.name, claimed, target, own)
    if advice := remedy(convention, target):
        words = layout.words if encoding.name == PLAIN else f"{encoding.words} with {layout.words}"
        return f"The mel looks like {words}: {advice}."
    words = convention.words
    if convention.mel_config is not None:
        return f"The mel looks like {words}: pass preset=auto, or compute the mel with {claimed.name} settings."
    if layout.preset:
        hint = f"or with those of {layout.preset} and {pass_one_of((layout.preset,), target)}"
        return f"The mel looks like {words}. Compute it with {claimed.name} settings, {hint}."
    return f"The mel looks like {words}. Compute it with {_settings(claimed)}."


def encoding_message(name: str, claimed: MelConfig, target: MelConfig, own: bool = False) -> str:
    """Advise on values of the claimed (`own`) bands, or on decibels, which hardly reveal bands, hop and power."""
    encoding = conventions.encodings()[name]
    advice = f": {encoding.advice}" if own or name == LOUDEST else ""
    more = "" if own and name != LOUDEST else f" Otherwise compute it with {_settings(claimed)}."
    for one in PRESETS.values():
        if encoding.cause == "decibels" and one.log == DB10 and one.n_mels == claimed.n_mels:
            also = f"librosa.power_to_db with n_fft={one.n_fft}, hop_length={one.hop_length} and fmax={one.f_max:g}"
            more = f" If it is {also}, {preset_of(one, target)}.{more}"
    return f"The mel looks like {encoding.words}{advice}.{more}"


def remedy(convention: Convention, target: MelConfig) -> str:
    """Advise how to turn a mel into a preset's for a model of `target`, and which to pass; empty if none is near."""
    name, encoding = conventions.layouts()[convention.layout].preset, conventions.encodings()[convention.encoding]
    near = (convention, Convention(convention.layout, PLAIN))
    if name is None or (convention_of(PRESETS[name]) not in near and encoding.name != conventions.STATISTICS):
        return ""
    advice = preset_of(PRESETS[name], target)
    return advice if convention.preset else f"{encoding.advice}, then {advice}"


def _settings(config: MelConfig) -> str:
    """Return the arguments of `librosa.feature.melspectrogram`, and the logarithm, for a mel config."""
    settings = f"sr={config.sample_rate}, n_fft={config.n_fft}, hop_length={config.hop_length}, n_mels={config.n_mels}"
    settings += f", fmin={config.f_min:g}, fmax={config.f_max:g}, power={config.power:g}"
    settings += ", htk=True" if config.mel_scale == "htk" else ""
    settings += ", norm=None" if config.mel_norm == "none" else ""
    if config.log == "ln" and config.mean is None:
        return f"{settings}, then np.log(np.maximum(mel, {config.floor:g}))"
    return f"{settings}, then encode it as {config.name} does"
