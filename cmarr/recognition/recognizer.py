"""`Recognizer`: a trained model with its encoders, which predicts for clips."""

import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.data.speakers import Heard
from cmarr.device import choose_device
from cmarr.errors import Unreadable, UserError, listed
from cmarr.execution.local import worker_count
from cmarr.features.shards import FeatureTable
from cmarr.media.worker_pool import keep_workers
from cmarr.methods.model import Model, load_model
from cmarr.methods.protocol import Acquainted
from cmarr.modalities import MODALITIES, NAMES
from cmarr.progress import progress
from cmarr.recognition.clips import (
    Given,
    Media,
    check_windows,
    clip_from,
    cut_windows,
    find_clips,
    letter_of,
)
from cmarr.recognition.encoding import encoders_for
from cmarr.recognition.export import export
from cmarr.recognition.predicted import Predictions
from cmarr.recognition.prediction import Prediction, Refusal, printable, without_place
from cmarr.recognition.pretrained import DEFAULT, pretrained, push
from cmarr.recognition.reading import Examiner, Limits, Reader, Reading, absolute
from cmarr.recognition.trained import Trained, exported, of_study, widths
from cmarr.utterance import Utterance

ROWS = 32
"""Clips that are read and predicted together; bounds memory. Sums of 32 bits depend on what is added beside them: with
other clips in the batch a probability is another one in its seventh digit (8.5e-8 was seen)."""


ALONE = (
    "the model takes away what is usual of a speaker, and nothing but this clip is known of this one; give several "
    "clips of a speaker, named in a table's column `speaker`"
)
"""Warns of a clip of which a model knows the speaker from nothing else."""

STRANGE = (
    "it is less like the training recordings than every clip of other speakers that the model was tried on"
)
"""Warns of a clip that lies outside of what a model knows."""


class Recognizer:
    """A trained model, or an ensemble of them, with its encoders. Safe to use from several threads.

        with Recognizer.load("exported") as recognizer:
            print(recognizer.predict("clip.mp4", text="I did not expect that"))

    Modalities that a clip does not have are simply missing: the method does without them, and recovers
    them if it is one that does. Media are decoded in worker processes, which are kept until `close`.
    """

    def __init__(
        self,
        trained: Trained,
        *,
        device: str = "auto",
        workers: int | str = "auto",
        limits: Limits | None = None,
        weights: Mapping[str, str] | None = None,
        keep: int = 1,
        patient: bool = False,
    ):
        """Load what `exported` or `of_study` found; see `load`."""
        self.trained = trained
        self.about, self.limits = trained.about, limits or Limits()
        self._open = ExitStack()
        count = worker_count(workers)
        device = choose_device(device)
        encoders, self.notes = encoders_for(
            self.about.encoders,
            places=weights,
            folder=trained.weights[0].parent,
            workers=count,
            seconds=self.limits.time_limit,
            device=device,
            waiting=_may_wait(trained) if patient else {},
        )
        # Started first: they load their libraries while this process reads the weights.
        readers = [e.reader for e in encoders.values() if hasattr(e, "reader")]
        if keep and readers:
            self._open.enter_context(keep_workers([Examiner, *readers], keep * count))
        try:
            self.models = [load_model(path, device) for path in trained.weights]
            self._check_models()
        except BaseException:
            self.close()
            raise
        # Where the encoder is part of the model, what is read is narrower or wider than its features.
        widths = self.models[0].description["dims"]
        self.dims = {m: encoders[m].dim if m in encoders else width for m, width in widths.items()}
        self.reader = Reader(encoders, self.dims, self.limits, count)
        self.device = device

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """A model that `cmarr export` wrote.

        device:  'auto' (the GPU if there is one), 'cpu', 'cuda:1', ...
        workers: processes that decode side by side; 'auto': one a core
        limits:  the largest clip that is accepted, a `Limits`
        weights: modality -> folder or file of its encoder's weights, where they lie elsewhere here
        keep:    start worker processes at once and keep them until `close`, so many times `workers` as there are
                 calls at the same time; 0 or False: each call that has media to decode starts its own, which takes a
                 second or two
        patient: build the encoder of text when there is a text: a clip without one is answered seconds sooner

        Raises UserError for a folder that is no such model, or is damaged, and for encoders whose weights
        are not here or are others than those the model was trained with.
        """
        return cls(exported(folder), **options)

    @classmethod
    def from_pretrained(
        cls, source: str | Path = DEFAULT, *, revision: str | None = None, **options: Any
    ) -> Self:
        """A model by name: `starter` comes with cmarr, and answers without a study.

            Recognizer.from_pretrained().predict("clip.mp4")

        source:   a model that cmarr brings along (`starter`, `starter-open`); a folder that `cmarr export` wrote, which
                  may be s3://BUCKET/FOLDER, or its `model.json`; a model of MLflow's, as a folder or
                  `models:/NAME/VERSION`; or OWNER/NAME on the hub, of which safetensors, JSON and the card are fetched
                  and nothing else
        revision: of a hub's repository: a branch, a tag or a commit
        options:  those of `load`

        Checksums that lie beside the weights must fit. Raises UserError as `load` does, and for what cannot be found.
        """
        return cls(pretrained(source, revision), **options)

    @classmethod
    def of_study(
        cls,
        dataset: str,
        method: str | None = None,
        *,
        root: str | Path = ".",
        fold: int | None = None,
        seed: int | None = None,
        ensemble: bool = False,
        **options: Any,
    ) -> Self:
        """The best model of a study that ran in the project's folder `root`, by validation score.

        The arguments are those of `cmarr.recognition.trained.of_study` and of `load`.
        """
        found = of_study(dataset, method, root=root, fold=fold, seed=seed, ensemble=ensemble)
        return cls(found, **options)

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the model into a folder of its own, with its card; see `cmarr.recognition.export.export`."""
        return export(self.trained, folder, force=force)

    def push_to_hub(self, repository: str, *, private: bool = False, token: str | None = None) -> str:
        """Put the model on the hub as OWNER/NAME: weights, description, card, checksums. Returns its address.

        Raises UserError where the hub refuses it, or cannot be reached.
        """
        return push(self.trained, repository, private=private, token=token)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in their order; none in regression."""
        return self.about.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the model was trained with, of 'speech', 'video' and 'text'."""
        return tuple(NAMES[m] for m in MODALITIES if m in self.dims)

    def predict(
        self,
        clip: str | Path | None = None,
        *,
        audio: Media | None = None,
        video: Media | None = None,
        text: str | None = None,
        features: Mapping[str, Any] | None = None,
        start: float | None = None,
        end: float | None = None,
        hide: Iterable[str] = (),
    ) -> Prediction:
        """Predict for one clip.

        clip:         a media file; what it holds of sound and video is used, and a transcript that lies
                      beside it under the same name (.txt, .srt, .vtt, .ass)
        audio, video: a path, the bytes of a file, or for audio `(samples, rate)`: (N,) or (N, channels)
                      floats of full scale 1, and Hz; they take the place of what the clip holds
        text:         what is said
        features:     modality -> (T, D) array, in place of what an encoder would make
        start, end:   seconds of the media that are meant
        hide:         modalities that must not be used: what if the face had not been seen?

        Raises Unreadable, with the reason, where nothing is left to predict from; UserError for a
        modality that does not exist.
        """
        with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
            given = clip_from(
                clip, audio=audio, video=video, text=text, start=start, end=end, scratch=Path(scratch)
            )
            if not isinstance(features, Mapping | None):
                raise UserError(f"features: give a mapping of modalities, not {type(features).__name__}")
            found = {letter_of(m): _array(m, values) for m, values in (features or {}).items()}
            (result,) = self.predict_all([replace(given, features=found)], hide)
        told = without_place(result, f"{scratch}{os.sep}", "the given ")
        if isinstance(told, Refusal):
            raise Unreadable(told.reason)
        return told

    def predict_all(
        self, clips: Iterable[Given | Utterance], hide: Iterable[str] = ()
    ) -> Iterator[Prediction | Refusal]:
        """One prediction, or the reason why there is none, a clip, in order and as they become ready."""
        for (found,) in self.predict_hiding(clips, [hide]):
            yield found

    def predict_hiding(
        self, clips: Iterable[Given | Utterance], hides: Sequence[Iterable[str]]
    ) -> Iterator[list[Prediction | Refusal]]:
        """As `predict_all`, with one result for each of `hides`, sets of modalities; every clip is read once."""
        for hide in hides:
            if not isinstance(hide, Iterable):
                raise UserError(f"hide: give modalities, as ['video'], not {type(hide).__name__}")
        named = [[hide] if isinstance(hide, str) else hide for hide in hides]
        hidden = [sorted({letter_of(m) for m in hide}) for hide in named]
        groups = self._read(iter(clips), [m for m in NAMES if all(m in hide for hide in hidden)], len(hidden))
        if not any(model.normaliser.by_speaker for model in self.models):
            for group in groups:
                yield from _in_groups(self._predictions(_hiding(group, hidden)), len(hidden))
            return
        known = list(groups)  # what is usual of a speaker is known when all clips are read
        who = iter(speakers_of([reading for group in known for reading in group]))
        everyone = [[(reading, next(who)) for reading in group] for group in known]
        heard = _heard([pair for group in everyone for pair in group], self.dims)
        for pairs in everyone:
            shown = _hiding([reading for reading, _ in pairs], hidden)
            names = [name for _, name in pairs for _ in hidden]
            yield from _in_groups(self._predictions(shown, heard, names), len(hidden))

    def _read(
        self, waiting: Iterator[Given | Utterance], hidden: Sequence[str], times: int
    ) -> Iterator[list[Reading]]:
        while group := list(islice(waiting, max(ROWS // times, 1))):
            yield self.reader.read([c if isinstance(c, Given) else Given(c) for c in group], hidden)

    def predict_found(
        self,
        found: Sequence[Given | Refusal],
        *,
        hide: Iterable[str] = (),
        window: float | None = None,
        hop: float | None = None,
    ) -> Iterator[Prediction | Refusal]:
        """Predictions for what `find_clips` found, in its order: a refusal stays where it is, a recording gives its
        windows.
        """
        parts: list[Given | Refusal] = []
        for clip in found:
            if isinstance(clip, Refusal) or window is None:
                parts.append(clip)
            else:
                cut = self.windows([clip.utterance], window, hop or window / 2)
                parts += [replace(clip, utterance=part) for part in cut]
        asked = [part for part in parts if isinstance(part, Given)]
        results = progress(self.predict_all(asked, hide), "predicting", "clip", len(asked))
        for part in parts:
            yield part if isinstance(part, Refusal) else next(results)

    def predict_paths(
        self,
        *paths: str | Path,
        text: str | None = None,
        hide: Iterable[str] = (),
        window: float | None = None,
        hop: float | None = None,
        allow_outside: bool = False,
    ) -> Predictions:
        """Predict for clips, folders of clips and manifests, as `cmarr predict` does.

            recognizer.predict_paths("clips/").frame
            recognizer.predict_paths("interview.mp4", window=4, hop=2).plot()

        text:   what is said in the one clip that there is
        window: seconds; a longer recording gets a prediction for each window, one every `hop` (half a window)
        hide, allow_outside: as in `predict` and in `cmarr.recognition.clips.find_clips`

        Raises UserError for a path that does not exist, and for windows that cannot be.
        """
        found = find_clips(paths, text=text, allow_outside=allow_outside)
        return Predictions(self.predict_found(found, hide=hide, window=window, hop=hop), self.classes)

    def windows(self, clips: Iterable[Utterance], window: float, hop: float) -> list[Utterance]:
        """Long recordings cut into windows of `window` seconds, one every `hop`, for `predict_all`.

        See `cmarr.recognition.clips.cut_windows`. Raises UserError for windows that cannot be.
        """
        check_windows(window, hop)
        whole = [absolute(clip) for clip in clips]
        headers = self.reader.headers(whole)
        return [part for clip in whole for part in cut_windows(clip, headers, window, hop)]

    def close(self) -> None:
        """End the worker processes; a closed recognizer still predicts, and starts them anew each time."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_models(self) -> None:
        for model in self.models:
            same = model.description["dims"] == self.models[0].description["dims"]
            if model.task.classes != self.about.classes or not same:
                raise UserError(
                    "the weights are of another task, or of other features, than their description says; "
                    "export the model again"
                )

    @torch.no_grad()
    def _predictions(
        self, readings: Sequence[Reading], heard: Heard | None = None, who: Sequence[str] = ()
    ) -> Iterator[Prediction | Refusal]:
        usable = [reading for reading in readings if reading.frames]
        if usable:
            batch = _batch(usable, self.dims, self.device)
            if heard is not None:
                own = [heard.number[name] for name, r in zip(who, readings, strict=True) if r.frames]
                batch = replace(batch, heard=heard, speakers=torch.tensor(own, device=self.device))
            rows = iter(_rows([_predict(model, batch) for model in self.models], bool(self.classes)))
            strange = iter(_strange(self.models, batch))
        for reading in readings:
            u = reading.utterance
            missing = {NAMES[m]: printable(reason) for m, reason in reading.missing.items()}
            about: dict[str, Any] = {
                "missing": missing,
                "warnings": tuple(printable(w) for _, w in reading.warnings),
            }
            about |= {"start": u.start, "end": u.end}
            if not reading.frames:
                yield Refusal(u.id, _nothing(missing), **about)
                continue
            values, doubt, recovered = next(rows)
            if next(strange):
                about["warnings"] += (STRANGE,)
            if not np.isfinite(values).all():
                yield Refusal(u.id, "the model gave NaN or infinity; its weights are damaged", **about)
                continue
            named = dict(zip(self.classes, map(float, values), strict=False))
            yield Prediction(
                id=u.id,
                probabilities=named,
                winner=max(named, key=lambda name: named[name]) if named else None,
                score=None if named else float(values[0]),
                uncertainty=doubt,
                used=tuple(NAMES[m] for m in MODALITIES if m in reading.frames),
                recovered=tuple(NAMES[m] for m in MODALITIES if m in recovered),
                **about,
            )


def _hiding(readings: Sequence[Reading], hides: Sequence[Collection[str]]) -> list[Reading]:
    return [reading.without(hide) for reading in readings for hide in hides]


def _in_groups(results: Iterator[Prediction | Refusal], size: int) -> Iterator[list[Prediction | Refusal]]:
    while group := list(islice(results, size)):
        yield group


def _array(modality: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise UserError(f"features: {modality} is no array (T, D) of numbers ({error})") from None


def _may_wait(trained: Trained) -> dict[str, int]:
    """'t' -> the width of its features, if the encoder of text is no part of the model."""
    about = trained.about.encoders.get("text")
    if about is None or about.settings.get("tokenizer") or about.settings.get("least"):
        return {}
    return {m: width for m, width in widths(trained).items() if m == "t"}


def _nothing(missing: Mapping[str, str]) -> str:
    """Why nothing can be predicted for a clip: what was there, and did not serve."""
    tried = {m: reason for m, reason in missing.items() if reason != "not given"}
    if not tried:
        return "it has neither sound nor video nor text"
    those = {reason: [m for m, why in tried.items() if why == reason] for reason in tried.values()}
    return "; ".join(f"{listed(names)}: {reason}" for reason, names in those.items())


def _batch(readings: Sequence[Reading], dims: Mapping[str, int], device: str) -> Batch:
    values, lengths = {}, {}
    for modality, dim in dims.items():
        parts = [reading.frames.get(modality, np.zeros((0, dim), np.float32)) for reading in readings]
        values[modality] = torch.from_numpy(np.concatenate(parts)).to(device)
        lengths[modality] = torch.tensor([len(part) for part in parts], device=device)
    available = torch.tensor(
        [[m in reading.frames for m in MODALITIES] for reading in readings], device=device
    )
    return Batch(values, lengths, available, torch.zeros(len(readings), dtype=torch.long, device=device))


def speakers_of(readings: Sequence[Reading]) -> list[str]:
    """Who speaks in each clip, as far as is told: its speaker, or else whoever speaks in that recording.

    A clip of whose speaker nothing else is known says so among its warnings.
    """
    found = []
    for place, reading in enumerate(readings):
        u = reading.utterance
        found.append(f"speaker {u.speaker}" if u.speaker else f"in {u.audio or u.video or place}")
    counts = Counter(found)
    for reading, name in zip(readings, found, strict=True):
        if counts[name] == 1:
            reading.warnings.append(("svt", ALONE))
    return found


def _heard(pairs: Sequence[tuple[Reading, str]], dims: Mapping[str, int]) -> Heard:
    """All that was given of each speaker."""
    tables = {}
    for modality, dim in dims.items():
        rows = [(n, r.frames[modality]) for n, (r, _) in enumerate(pairs) if modality in r.frames]
        offsets = np.cumsum([0, *(len(frames) for _, frames in rows)])
        values = np.concatenate([np.zeros((0, dim), np.float32), *(frames for _, frames in rows)])
        tables[modality] = FeatureTable([str(n) for n, _ in rows], values, offsets)
    return Heard({str(n): name for n, (_, name) in enumerate(pairs)}, tables)


Row = tuple[np.ndarray, float | None, set[str]]
"""Probabilities (K,) or the score (1,); the uncertainty; the letters of what was recovered."""


def _predict(model: Model, batch: Batch) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
    """Probabilities (B, K) or scores (B, 1), the method's own uncertainty (B,), and the recovered rows."""
    given = model.method.predict(model.normaliser(batch))  # type: ignore[operator]
    logits = given.logits.double()
    values = logits if model.task.regression else logits.softmax(1)
    return values.cpu(), given.uncertainty, {m: rows.cpu() for m, rows in given.recovered_rows.items()}


def _strange(models: Sequence[Model], batch: Batch) -> list[bool]:
    """(B,) whether every model says that a clip is further from its training data than all that it was tried on."""
    known = [m.method.unlikeness(m.normaliser(batch)) for m in models if isinstance(m.method, Acquainted)]
    if len(known) < len(models):
        return [False] * len(batch.available)
    return [share == 1 for share in torch.stack(known).min(0).values.tolist()]  # NaN where one does not know


def _rows(outputs: Sequence[tuple[Tensor, Tensor | None, dict[str, Tensor]]], classes: bool) -> list[Row]:
    """The models' predictions averaged: one row a clip."""
    values = torch.stack([v for v, _, _ in outputs]).mean(0)  # (B, K)
    own = [doubt for _, doubt, _ in outputs if doubt is not None]
    doubts: list[float | None] = [None] * len(values)
    if len(own) == len(outputs):
        doubts = torch.stack(own).double().mean(0).cpu().tolist()
    elif classes:
        doubts = (torch.special.entr(values).sum(1) / np.log(values.shape[1])).clamp(0, 1).tolist()
    rows = []
    for i, doubt in enumerate(doubts):
        recovered = {m for _, _, found in outputs for m, where in found.items() if bool(where[i])}
        rows.append((values[i].numpy(), doubt, recovered))
    return rows
