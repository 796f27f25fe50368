"""What a user hands over (paths, bytes, samples, a text, folders, manifests) as clips, and long clips as windows."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.budgets import real, require_name
from cmarr.corpora.captions import ENDINGS, Said, captions_of, holds_captions, read_captions, spoken
from cmarr.corpora.clips import TABLES, Options
from cmarr.corpora.clips import read as read_manifest
from cmarr.corpora.headers import Header
from cmarr.corpora.inventory import corpus_files, files_below
from cmarr.corpora.text_files import guessed_encoding, read_text
from cmarr.errors import Unreadable, UserError, did_you_mean, many
from cmarr.extras import extra
from cmarr.media.clips import RATES, Failure
from cmarr.media.endings import AUDIO, VIDEO
from cmarr.modalities import LETTERS, NAMES
from cmarr.objects import absence
from cmarr.recognition.prediction import Refusal, printable
from cmarr.utterance import Utterance, real_numbers

Media = str | Path | bytes | tuple[Any, int]
"""A path, a file's bytes, or samples and their rate."""

TEXTS = (".txt", *ENDINGS)
"""Endings of transcripts, the most telling last."""

OUTSIDE = "is a link that leads out of its folder; allow that with --allow-outside"

_WORDS = {"text", "captions"}
_KINDS = {"audio": AUDIO, "video": VIDEO, "text": (".txt",), "captions": ENDINGS}

SHORTEST_WINDOW = 0.25
"""Share of a window below which what is left at the end of a recording is left out."""

MOST_CHANNELS = 64
"""Channels of samples that are given; more are samples the other way round."""

MOST_WINDOWS = 100_000
"""Windows of one recording; more are a mistake in the unit."""

MOST_SAID = 20_000_000
"""Letters of all windows of one recording: a film's subtitles have a hundred thousand."""


@dataclass(frozen=True)
class Given:
    """A clip to be read.

    features: letter -> (T, D) array that stands for a modality of the utterance
    unread:   letter -> why what was there for a modality could not be read; nothing of it is in the utterance
    warnings: sentences about how it was read
    """

    utterance: Utterance
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def clip_from(
    clip: str | Path | None,
    *,
    audio: Media | None = None,
    video: Media | None = None,
    text: str | None = None,
    start: float | None = None,
    end: float | None = None,
    scratch: Path,
) -> Given:
    """One clip; bytes and samples are put into the folder `scratch`. Arguments as in `Recognizer.predict`.

    Raises UserError for arguments that are no media, and for times that cannot be.
    """
    sound = picture = said = None
    if not isinstance(text, str | None):
        raise UserError(f"text: give a str, not {type(text).__name__}")
    if not isinstance(clip, str | Path | None):
        raise UserError(
            f"clip: give a path, not {type(clip).__name__}; audio and video take bytes and samples"
        )
    for path in (clip, audio, video):
        if isinstance(path, str | Path):
            require_name(path)
    if clip is not None:
        sound, picture = media_of(clip)
        said = sidecar(Path(clip))
    if audio is not None:
        sound = _media_file(audio, "audio", scratch)
    if video is not None:
        picture = _media_file(video, "video", scratch)
    if not all(t is None or isinstance(t, Real) for t in (start, end)) or not (
        0 <= (start or 0.0) < (float("inf") if end is None else end) and (start or 0.0) < float("inf")
    ):
        raise UserError(
            f"start = {start!r} and end = {end!r} are not the beginning and end of a clip, numbers of seconds"
        )
    name = next((printable(p) for p in (clip, sound, picture) if p is not None), "text")
    utterance = Utterance(name, audio=sound, video=picture, start=start, end=end)
    if text is not None:
        return Given(replace(utterance, text=text))
    return beside(utterance, said) if said is not None else Given(utterance)


def media_of(path: str | Path) -> tuple[str | None, str | None]:
    """(audio, video) of a media file: both may be in it, unless its ending says that it is sound alone."""
    place = str(path)
    return (place, None) if Path(place).suffix.lower() in AUDIO else (place, place)


def sidecar(path: Path) -> Path | None:
    """The transcript beside a media file, under the same name; captions before plain text."""
    for ending in reversed(TEXTS) if path.name else ():  # "/" has none
        found = path.with_suffix(ending)
        if found != path and os.path.isfile(found):  # noqa: PTH113 - it says no to a name that is too long
            return found
    return None


def beside(utterance: Utterance, path: Path) -> Given:
    """The utterance with the text of the file beside it; one that cannot be read costs it that text alone."""
    try:
        return with_transcript(utterance, path)
    except Unreadable as error:
        return Given(utterance, unread={"t": printable(error)})


def with_transcript(utterance: Utterance, path: Path, *, pipes: bool = False) -> Given:
    """The utterance with the text of a file, or of a pipe; of captions, what is said between its start and end.

    Raises Unreadable for a file that cannot be read.
    """
    told: list[str] = []

    def note(sentence: str) -> None:
        told.append(printable(sentence))

    plain = None if path.suffix.lower() in ENDINGS else read_text(path, note, pipes=pipes).strip()
    if plain is not None and not holds_captions(plain):
        found = replace(utterance, text=plain)
    else:
        begin, end = utterance.start or 0.0, float("inf") if utterance.end is None else utterance.end
        lines = read_captions(path, note) if plain is None else captions_of(plain)
        within = Said(lines).between(begin, end)
        found = replace(utterance, text=spoken(within), words=within)
    return Given(found, warnings=tuple(told))


def letter_of(modality: str) -> str:
    """'s' of 'speech', and so on; a letter stays. Raises UserError for what is no modality."""
    letter = LETTERS.get(modality, modality) if isinstance(modality, str) else ""
    if letter not in NAMES:
        near = did_you_mean(str(modality), LETTERS)
        raise UserError(f"{modality!r} is not a modality; there are {', '.join(LETTERS)}{near}")
    return letter


def _media_file(media: Media, kind: str, scratch: Path) -> str:
    if isinstance(media, str | Path):
        return str(media)
    path = scratch / kind
    if isinstance(media, bytes | bytearray | memoryview):
        path.write_bytes(media)
        return str(path)
    if kind == "audio" and isinstance(media, tuple) and len(media) == 2:
        with extra("media"):
            import soundfile

        real_numbers(media[0], "audio")  # or else it says so
        samples, rate = _full_scale(np.asarray(media[0])), media[1]
        if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
            samples = samples.T  # channels first, as torchaudio has them
        if not isinstance(rate, Real) or not RATES[0] <= rate <= RATES[1]:
            raise UserError(
                f"audio: a rate of {rate!r}; it is the samples a second, {RATES[0]:,} to {RATES[1]:,} Hz"
            )
        if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= MOST_CHANNELS):
            raise UserError(
                f"audio: samples of the shape {samples.shape}; they are (N,) or (N, channels), with at most "
                f"{MOST_CHANNELS} channels"
            )
        soundfile.write(path, samples, int(rate), format="WAV", subtype="FLOAT")
        return str(path)
    raise UserError(
        f"{kind}: give a path or the bytes of a file" + (", or (samples, rate)" if kind == "audio" else "")
    )


def _full_scale(samples: np.ndarray) -> np.ndarray:
    """Samples as float32; whole numbers are brought to full scale 1, as files that hold them are."""
    if samples.dtype.kind not in "iu":
        with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, and is refused as such
            return samples.astype(np.float32)
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    centred = samples / half - (1.0 if samples.dtype.kind == "u" else 0.0)
    return centred.astype(np.float32)


def find_clips(
    paths: Iterable[str | Path],
    *,
    text: str | None = None,
    transcript: str | Path | None = None,
    allow_outside: bool = False,
) -> list[Given | Refusal]:
    """The clips that some paths name, and what is refused of them before it is opened, in the order found.

    A media file is one clip; so is a text file. A folder gives one clip for each name below it that sound,
    video or text files share. A CSV or Parquet file is a manifest as for a corpus of one's own. `text`, or
    the text of the file `transcript`, belongs to the one clip there is. A transcript beside a media file,
    under the same name, is found; one that cannot be read costs the clip its text alone, and the clip says so.
    What a folder or manifest names outside itself, by a link or a path, is refused unless `allow_outside`.

    Raises UserError for a path that does not exist, for a text where there are several clips, and for a
    `transcript` that cannot be read.
    """
    clips: list[Given | Refusal] = []
    for given in paths:
        require_name(given)
        path = Path(given)
        if not path.exists():
            raise UserError(f"{printable(path)} {absence(path)}")
        if path.is_dir():
            clips += _folder(path, allow_outside)
        elif path.suffix.lower() in TABLES:
            clips += _manifest(path, allow_outside)
        else:
            clips.append(_file(path, allow_outside))
    if text is None and transcript is None:
        return clips
    if len(clips) > 1:
        raise UserError(
            f"there are {len(clips)} clips and one text; put the texts beside them (.txt, .srt), or into a manifest"
        )
    clip: Given | Refusal = clips[0] if clips else Given(Utterance("text"))
    if isinstance(clip, Refusal):
        return [clip]
    if transcript is not None:
        require_name(transcript)
        clip = with_transcript(clip.utterance, Path(transcript), pipes=True)
    return [clip if text is None else Given(replace(clip.utterance, text=text, words=()))]


LISTED = 20
"""Files that are passed over of which each is named."""


def passed_over(paths: Iterable[str | Path]) -> str | None:
    """A sentence about the files of folders that `find_clips` takes for no clips, by their endings; or None."""
    left: list[Path] = []
    hidden = 0
    for folder in (path for path in map(Path, paths) if path.is_dir()):
        places, unseen = files_below(folder)
        files = sorted(map(Path, places))
        left += [path for path in files if path.suffix.lower() not in {*AUDIO, *VIDEO, *TEXTS}]
        hidden += unseen
        left += [
            found["text"] for found in _groups(folder, files)[0].values() if len(found.keys() & _WORDS) > 1
        ]
    told = []
    if left:
        more = f" and {many(len(left) - LISTED, 'more file')}" if len(left) > LISTED else ""
        listed = ", ".join(printable(path) for path in left[:LISTED])
        told.append(
            f"passed over, having no ending of sound, video or text, or captions beside them: {listed}{more}; name "
            "such a file to have it read"
        )
    if hidden > 0:
        told.append(
            f"passed over: {many(hidden, 'hidden file or folder, or pipe', 'hidden files or folders, or pipes')}"
        )
    return "; ".join(told) or None


def _file(path: Path, allow_outside: bool) -> Given:
    name = printable(path)
    if path.suffix.lower() in TEXTS:
        return beside(Utterance(name), path)
    audio, video = media_of(path)
    utterance = Utterance(name, audio=audio, video=video)
    said = sidecar(path)
    if said is None:
        return Given(utterance)
    if not (allow_outside or _inside(said, path.parent)):
        return Given(utterance, unread={"t": f"{printable(said)} {OUTSIDE}"})
    return beside(utterance, said)


def _groups(folder: Path, files: Iterable[Path]) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    """Name -> what the files of a folder that share it are, by kind; a second one of a kind goes by its whole name."""
    groups: dict[str, dict[str, Path]] = {}
    media = [path for path in files if path.suffix.lower() in {*AUDIO, *VIDEO, *TEXTS}]
    for path in media:
        kind = next(k for k, endings in _KINDS.items() if path.suffix.lower() in endings)
        whole = os.path.relpath(path, folder)
        stem = whole.removesuffix(path.suffix)
        if kind in groups.setdefault(stem, {}):
            stem = whole
        groups.setdefault(stem, {})[kind] = path
    return groups, media


def _folder(folder: Path, allow_outside: bool) -> Iterator[Given | Refusal]:
    files = corpus_files(folder)
    outside = [path for path in files if not allow_outside and not _inside(path, folder)]
    groups, media = _groups(folder, (path for path in files if path not in outside))
    for path in outside:
        if path.suffix.lower() in {*AUDIO, *VIDEO, *TEXTS}:
            media.append(path)
            yield Refusal(printable(path), f"it {OUTSIDE}")
    if not media:
        endings = " ".join((*AUDIO, *VIDEO, *TEXTS))
        yield Refusal(printable(folder), f"it holds no media and no text ({endings})")
    for stem, found in sorted(groups.items()):
        video = found.get("video")
        audio = found.get("audio", video)
        utterance = Utterance(
            printable(stem), audio=str(audio) if audio else None, video=str(video) if video else None
        )
        text = found.get("captions", found.get("text"))
        yield beside(utterance, text) if text else Given(utterance)


def _manifest(path: Path, allow_outside: bool) -> Iterator[Given | Refusal]:
    utterances, rejected = read_manifest(path, Options(allow_outside=allow_outside))
    guessed = guessed_encoding(path)
    for utterance in utterances:
        told = (
            (f"{path.name} is not UTF-8; it was read as {guessed}, a guess",)
            if guessed and utterance.text
            else ()
        )
        yield Given(replace(utterance, id=printable(utterance.id)), warnings=told)
    for refused in rejected:
        yield Refusal(printable(refused.id), refused.reason)


def _inside(path: Path, folder: Path) -> bool:
    return real(path).is_relative_to(real(folder))


def check_windows(window: float, hop: float) -> None:
    """Raise UserError for windows that cannot be."""
    if not (0.1 <= window < float("inf") and 0.01 <= hop <= window):
        raise UserError(
            f"windows of {window:g} s every {hop:g} s: a window has at least 0.1 s, a hop 0.01 s and at most a window"
        )


def cut_windows(
    utterance: Utterance, headers: Mapping[str, Header | Failure], window: float, hop: float
) -> list[Utterance]:
    """A recording as windows of `window` seconds, one every `hop` seconds, the last one perhaps shorter.

    Of a transcript with times, each window gets what is said in it; a text without times belongs to no
    window, and is left out. A recording of unknown length, one that cannot be opened and one that is not
    longer than a window stay as they are. Raises UserError for windows that cannot be.
    """
    check_windows(window, hop)
    begin, end = utterance.start or 0.0, _end(utterance, headers)
    if end is None or end - begin <= window:
        return [utterance]
    count = 1 + max(int((end - begin - window) / hop + 1e-9), 0)
    if begin + (count - 1) * hop + window < end - SHORTEST_WINDOW * window:
        count += 1
    if count > MOST_WINDOWS:
        raise UserError(f"{utterance.id}: {count} windows, more than {MOST_WINDOWS}; take a larger hop")
    repeated = sum(len(text) for text, _, _ in utterance.words) * (1 + int(window / hop))
    if repeated > MOST_SAID:
        raise UserError(
            f"{utterance.id}: windows of {window:g} s every {hop:g} s would repeat its transcript to {repeated:,} "
            f"letters, more than {MOST_SAID:,}; take a larger hop"
        )
    cut, said = [], Said(utterance.words)
    for number in range(count):
        first = begin + number * hop
        last = min(first + window, end)
        cut.append(replace(utterance, start=first, end=last, text=spoken(said.between(first, last)) or None))
    return cut


def _end(utterance: Utterance, headers: Mapping[str, Header | Failure]) -> float | None:
    """The last second of a recording: of the tracks that are used, or of what is said with times."""
    found = [(m, headers.get(path)) for m in "sv" if (path := utterance.source(m))]
    spans = [header.span(m) for m, header in found if isinstance(header, Header) and header.holds(m)]
    lengths = [end for _, end in spans if end is not None]
    if not lengths and not found and utterance.words:
        lengths = [max(end for _, _, end in utterance.words)]
    if not lengths:
        return None
    return max(lengths) if utterance.end is None else min(max(lengths), utterance.end)
