"""From clips to features: what each modality gives, what it lacks, what is odd about it, and how large it may be."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmarr.corpora.headers import Header, MediaFile, Opener
from cmarr.encoders.protocol import Encoder
from cmarr.features.shards import HALF_LIMIT
from cmarr.media.clips import Clip, Failure, by_file, clip_of
from cmarr.media.worker_pool import decode
from cmarr.modalities import MODALITIES, NAMES
from cmarr.recognition.clips import Given
from cmarr.utterance import FeatureSequence, Rejected, Utterance, holds_half

if TYPE_CHECKING:
    from cmarr.media.audio import Levels

NOT_GIVEN, HIDDEN = "not given", "hidden"
NO_TRACK = "the file holds no such track"

NOT_HERE = "the track holds nothing of this part"

NOTHING = 0.05
"""Seconds of a track below which a part of it is none: less than a spectrum takes, and than tracks differ by."""

EXPECTED = (NOT_GIVEN, HIDDEN, NO_TRACK, NOT_HERE)
"""Reasons why a modality is missing that are worth no warning."""

CLIPPED = 0.001
"""Share of clipped samples that is worth a warning."""

BEYOND = 2.0
"""Multiple of full scale that floating-point samples may reach without a warning: lossy codecs overshoot a little."""

FEW_FACES = 0.5
"""Share of the video in which a face was found, below which there is a warning."""

LONG = 30.0
"""Seconds from which on a clip is no utterance any more."""

HEADER_SECONDS = 10.0


@dataclass(frozen=True)
class Limits:
    """Most that one recording may have.

    max_megabytes:  of a media file, or of an array file of features
    max_seconds:    from the beginning to the end of a recording, or of the part that is used
    max_frames:     of the video track of a file
    max_pixels:     of one frame
    max_characters: of a text, or of a transcript's file
    time_limit:     seconds that decoding one clip, or one window, may take; a short one gets less, ten
                    seconds more than it lasts
    """

    max_megabytes: float = 2000.0
    max_seconds: float = 3600.0
    max_frames: int = 250_000
    max_pixels: int = 4096 * 2304
    max_characters: int = 100_000
    time_limit: float = 60.0

    def file(self, path: str | Path) -> str | None:
        """Why a file is too large to be opened at all; None where it is not, or is not there."""
        try:
            megabytes = Path(path).stat().st_size / 1e6
        except (OSError, ValueError):  # ValueError of a name that no file can have
            return None  # who opens it says so
        if megabytes > self.max_megabytes:
            return _too_much(path, f"has {megabytes:.0f} MB", "max_megabytes", self.max_megabytes)
        return None

    def length(self, path: str | Path, seconds: float | None) -> str | None:
        """Why a recording, or the part of it that is used, is too long."""
        if seconds is not None and seconds > self.max_seconds:
            return _too_much(path, f"lasts {seconds:.0f} s", "max_seconds", self.max_seconds)
        return None

    def picture(self, path: str | Path, header: Header) -> str | None:
        """Why a file's video track is too large."""
        if header.pixels > self.max_pixels:
            return _too_much(path, f"has frames of {header.pixels} pixels", "max_pixels", self.max_pixels)
        if header.frames > self.max_frames:
            return _too_much(path, f"has {header.frames} frames", "max_frames", self.max_frames)
        return None

    def text(self, text: str) -> str | None:
        """Why a text is too long."""
        if len(text) > self.max_characters:
            return _too_much("the text", f"has {len(text)} characters", "max_characters", self.max_characters)
        return None

    def seconds_for(self, longest: float | None) -> float:
        """Seconds that decoding a clip may take whose length (s) is known, or not."""
        return self.time_limit if longest is None else min(self.time_limit, 10.0 + longest)


def _too_much(what: object, has: str, name: str, limit: float) -> str:
    return f"{what} {has}, more than {name} = {limit:g} allows; cut it, or raise {name}"


class Examiner:
    """Files -> their headers, clips -> the levels of their sound; a group holds one of the two kinds."""

    def __init__(self) -> None:
        from cmarr.media.audio import LevelReader

        self.opener, self.listener = Opener(), LevelReader()

    def __call__(self, items: Sequence[MediaFile | Clip]) -> list[Any]:
        """One result an item: Header, Levels, or a Failure."""
        results: list[Any] = []
        for item in items:
            results += self.listener([item]) if isinstance(item, Clip) else self.opener([item])
        return results


@dataclass
class Reading:
    """One clip as the encoders see it.

    frames:   letter -> (T, D) float32
    missing:  letter -> why this modality has no features
    warnings: sentences, each with the letters of the modalities that it is about
    """

    utterance: Utterance
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def without(self, hide: Collection[str]) -> "Reading":
        """The same clip as if some modalities (letters) had not been looked at."""
        if not hide:
            return self
        return Reading(
            self.utterance,
            {m: frames for m, frames in self.frames.items() if m not in hide},
            {**self.missing, **dict.fromkeys(hide, HIDDEN)},
            [(about, sentence) for about, sentence in self.warnings if not set(about) <= set(hide)],
        )


class Reader:
    """Clips through the encoders (letter -> encoder) of a model with these feature widths (letter -> D)."""

    def __init__(
        self, encoders: Mapping[str, Encoder], dims: Mapping[str, int], limits: Limits, workers: int
    ):
        self.encoders, self.dims, self.limits, self.workers = encoders, dims, limits, workers

    def headers(self, utterances: Sequence[Utterance]) -> dict[str, Header | Failure]:
        """Path -> its header, or why there is none: too large, absent, damaged."""
        paths = dict.fromkeys(p for u in utterances for p in (u.audio, u.video) if p)
        large = {path: Failure(reason) for path in paths if (reason := self.limits.file(path))}
        files: list[Any] = [MediaFile(path) for path in paths if path not in large]
        seconds = min(HEADER_SECONDS, self.limits.time_limit)
        results = decode(Examiner, ([file] for file in files), self.workers, seconds)
        return {**large, **{file.path: result for file, result in zip(files, results, strict=True)}}

    def read(self, clips: Sequence[Given], hide: Sequence[str] = ()) -> list[Reading]:
        """One reading a clip, in order; modalities (letters) in `hide` are not looked at."""
        placed = [absolute(clip.utterance) for clip in clips]
        hidden: dict[str, Any] = {{"s": "audio", "v": "video", "t": "text"}[m]: None for m in hide}
        # Encoders tell clips apart by their id, and ids that users give may be equal.
        shown = [replace(utterance, id=str(i), **hidden) for i, utterance in enumerate(placed)]
        headers = self.headers(shown)
        readings = [
            Reading(utterance, warnings=[("t", told) for told in clip.warnings if "t" not in hide])
            for utterance, clip in zip(placed, clips, strict=True)
        ]
        wanted: dict[str, list[Utterance]] = {m: [] for m in MODALITIES}
        for clip, utterance, reading in zip(clips, shown, readings, strict=True):
            for modality in MODALITIES:
                reason = HIDDEN if modality in hide else self._refused(modality, clip, utterance, headers)
                if reason is not None:
                    reading.missing[modality] = reason
                elif modality in clip.features:
                    reading.frames[modality] = _rounded(np.asarray(clip.features[modality]))
                else:
                    wanted[modality].append(utterance)
        self._encode(wanted, headers, readings)
        for clip, reading in zip(clips, readings, strict=True):
            self._warn(reading, headers)
            _name_as(reading, clip.utterance)
        return readings

    def _refused(
        self, modality: str, clip: Given, utterance: Utterance, headers: Mapping[str, Header | Failure]
    ) -> str | None:
        """Why a modality of a clip will not be encoded; None where it will."""
        given = clip.features.get(modality)
        source = utterance.source(modality)
        if given is None and source is None:
            return clip.unread.get(modality, NOT_GIVEN)
        if modality not in self.dims:
            return "this model was trained without it"
        if given is not None:
            return _wrong_features(given, self.dims[modality])
        assert source is not None
        if modality not in self.encoders:
            return "this model was trained on features that came with the corpus: give such features"
        if modality == "t":
            return self.limits.text(source)
        header = headers[source]
        if isinstance(header, Failure):
            return header.reason
        if not header.holds(modality):
            return NO_TRACK
        length = _length(utterance, modality, header)
        if length is not None and length < NOTHING and utterance.span(modality) != (None, None):
            begin, end = header.span(modality)
            return f"{NOT_HERE}: it lies between {begin:.1f} s and {end:.1f} s of the file"
        return self.limits.length(source, length) or (
            self.limits.picture(source, header) if modality == "v" else None
        )

    def _encode(
        self,
        wanted: Mapping[str, Sequence[Utterance]],
        headers: Mapping[str, Header | Failure],
        readings: Sequence[Reading],
    ) -> None:
        """Every modality, and the look at the sound, in a thread of its own: each waits for other processes."""
        bounded = {m: [self._bounded(u, m) for u in utterances] for m, utterances in wanted.items()}
        with ThreadPoolExecutor(len(MODALITIES) + 1, thread_name_prefix="reading") as pool:
            futures = {m: pool.submit(self._predictions, m, us, headers) for m, us in bounded.items() if us}
            heard = pool.submit(self._levels, bounded["s"], headers)
            for modality, future in futures.items():
                for utterance, (result, notes) in zip(bounded[modality], future.result(), strict=True):
                    reading = readings[int(utterance.id)]
                    reading.warnings += [(modality, note) for note in notes]
                    if isinstance(result, str):
                        reading.missing[modality] = result
                    else:
                        reading.frames[modality] = result
            for utterance, found in zip(bounded["s"], heard.result(), strict=True):
                reading, header = readings[int(utterance.id)], headers[str(utterance.audio)]
                if isinstance(header, Header) and not isinstance(found, Failure):
                    length = header.used("s", *reading.utterance.span("s"), found.track)
                    reading.warnings += [("s", sentence) for sentence in _about_sound(found, length)]

    def _bounded(self, utterance: Utterance, modality: str) -> Utterance:
        """The utterance with an end: a header that tells nothing, or lies, must not open an endless file."""
        if utterance.end is not None or modality == "t":
            return utterance
        return replace(utterance, end=(utterance.start or 0.0) + self.limits.max_seconds)

    def _predictions(
        self, modality: str, utterances: Sequence[Utterance], headers: Mapping[str, Header | Failure]
    ) -> list[tuple[np.ndarray | str, tuple[str, ...]]]:
        """Features, or why there are none; and the encoder's notes."""
        encoder = self.encoders[modality]
        if hasattr(encoder, "seconds"):
            encoder.seconds = self._seconds(utterances, modality, headers)
        return [
            (_checked(result, self.dims[modality]), getattr(result, "notes", ()))
            for result in encoder.encode(utterances)
        ]

    def _levels(
        self, utterances: Sequence[Utterance], headers: Mapping[str, Header | Failure]
    ) -> "list[Levels | Failure]":
        groups = by_file(clip_of(utterance, "s") for utterance in utterances)
        return list(decode(Examiner, groups, self.workers, self._seconds(utterances, "s", headers)))

    def _seconds(
        self, utterances: Sequence[Utterance], modality: str, headers: Mapping[str, Header | Failure]
    ) -> float:
        longest = 0.0
        for utterance in utterances if modality != "t" else ():
            header = headers[str(utterance.source(modality))]
            length = _length(utterance, modality, header) if isinstance(header, Header) else None
            if length is None:
                return self.limits.seconds_for(None)
            longest = max(longest, length)
        return self.limits.seconds_for(longest)

    def _warn(self, reading: Reading, headers: Mapping[str, Header | Failure]) -> None:
        def warn(about: str, sentence: str) -> None:
            reading.warnings.append((about, sentence))

        if "t" in reading.frames and holds_half(reading.utterance.text or ""):
            warn("t", "the text holds half a character, as of an emoji cut in two; it is read as \ufffd")
        for modality, reason in reading.missing.items():
            if not reason.startswith(EXPECTED):
                warn(modality, f"{NAMES[modality]} not used: {reason}")
        rate = getattr(getattr(self.encoders.get("v"), "faces", None), "rate", None)
        video = headers.get(str(reading.utterance.video))
        if rate and "v" in reading.frames and isinstance(video, Header):
            length = _length(reading.utterance, "v", video)
            share = len(reading.frames["v"]) / max(length * rate, 1.0) if length else 1.0
            if share < FEW_FACES:
                warn("v", f"a face was found in only {share:.0%} of the video")
        lengths = {
            m: _length(reading.utterance, m, header) or 0.0
            for m in "sv"
            if m in reading.frames
            and isinstance(header := headers.get(str(reading.utterance.source(m))), Header)
        }
        long = "".join(m for m, length in lengths.items() if length > LONG)
        if long:
            told = f"it lasts {max(lengths.values()):.0f} s and is taken as one utterance"
            warn(long, f"{told}; windows would follow its course")


def absolute(utterance: Utterance) -> Utterance:
    """With paths that mean the same in a worker process, which may have been started in another folder."""
    audio, video = (path and str(Path(path).absolute()) for path in (utterance.audio, utterance.video))
    return replace(utterance, audio=audio, video=video)


def _name_as(reading: Reading, given: Utterance) -> None:
    """Name the files in a reading's sentences as whoever gave the clip names them."""
    own = reading.utterance
    for place, told in ((own.audio, given.audio), (own.video, given.video)):
        if place and told:
            reading.missing = {m: why.replace(place, told) for m, why in reading.missing.items()}
            reading.warnings = [(about, w.replace(place, told)) for about, w in reading.warnings]


def _length(utterance: Utterance, modality: str, header: Header) -> float | None:
    """Seconds of a file that are used; None where nobody knows."""
    return header.used(modality, *utterance.span(modality))


def _about_sound(found: "Levels", length: float | None) -> Iterator[str]:
    from cmarr.media.audio import WHOLE_NUMBERS

    if found.clipped > CLIPPED:
        yield f"the sound is clipped: {found.clipped:.1%} of its samples lie on flat tops"
    if found.peak > WHOLE_NUMBERS:
        yield f"its samples reach {found.peak:.0f}: they were taken as whole numbers, and brought to full scale 1"
    elif found.peak > BEYOND:
        yield f"its samples reach {found.peak:.1f} times full scale; it was written too loud"
    if length is not None and found.seconds < 0.9 * length - 0.1:
        told = f"only {found.seconds:.1f} s of {length:.1f} s of the sound can be decoded"
        yield f"{told}; the file is damaged or cut off"


def _checked(result: FeatureSequence | Rejected, dim: int) -> np.ndarray | str:
    if isinstance(result, Rejected):
        return result.reason
    return _wrong_features(result.frames, dim) or _rounded(result.frames)


def _wrong_features(frames: object, dim: int) -> str | None:
    values = np.asarray(frames)
    if values.ndim != 2 or values.shape[1] != dim or not len(values):
        return f"its features have the shape {values.shape}, where (frames, {dim}) is due"
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        return "its features hold NaN, infinity or things that are no real numbers"
    return None


def _rounded(frames: np.ndarray) -> np.ndarray:
    """As shards hold them: the model was trained on features of half precision, where that holds them."""
    if not np.issubdtype(frames.dtype, np.floating):
        return frames.astype(np.float32)  # samples, numbers of word pieces
    largest = float(np.abs(frames).max(initial=0.0))
    half = frames.astype(np.float16) if largest <= HALF_LIMIT else frames
    return half.astype(np.float32)
