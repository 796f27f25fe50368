"""Train the models that come with cmarr, measure them on people they have not met, and write their cards.

    python -m starter.make --ravdess ../shared/data/ravdess --ferplus ../shared/data/ferplus

Voices of RAVDESS, faces of FER+ and sentences of our own make three classifiers, each calibrated, whose probabilities
are multiplied (`cmarr/methods/late.py`). Nobody in these corpora is seen, heard and understood at once, so what the
three do together is not measured. The same inputs give the same files. Features lie in .cmarr/starter until the models
are there: a run that was broken off goes on behind the last kind of them.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from jinja2 import Environment, StrictUndefined

from cmarr.code_digest import code_digest
from cmarr.corpora.registry import read_corpus
from cmarr.encoders.emotions import face_patch
from cmarr.encoders.registry import build_encoder
from cmarr.errors import UserError
from cmarr.evaluation.summary import summarise
from cmarr.files import atomic, digest
from cmarr.progress import progress
from cmarr.recognition.pretrained import SHIPPED, write_repository
from cmarr.study.corpus import Corpus
from cmarr.study.model import TrainedMethod, train
from cmarr.study.results import predictions_of
from cmarr.utterance import Rejected, Utterance
from denseface.ferplus import is_tied, label, read_part

CLASSES = ("angry", "happy", "neutral", "sad")
EMOTIONS = {4: "angry", 1: "happy", 0: "neutral", 3: "sad"}
"""Column of FER+ -> class; the other four emotions are left out."""

PARTS = 6
"""People are cut into so many parts: each is tested by models that were trained on four and chosen on one."""

COPIES = 4
"""How often a clip is heard again, each time as another room and microphone would have it."""

RATE = 16_000
CARD = Path(__file__).parent / "card.md.jinja"
SENTENCES = Path(__file__).parent / "sentences.tsv"
ENCODERS: dict[str, dict[str, Any]] = {
    "speech": {"name": "logmel", "settings": {}},
    "video": {"name": "denseface", "settings": {"rate": 5.0}},
    "text": {"name": "minilm", "settings": {"rows": "sentence"}},
}

WORK = Path(".cmarr/starter")
"""Where features wait until both models are made."""


def main() -> None:
    """Make both: with the voices of RAVDESS, and without."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ravdess", type=Path, required=True, help="folder of RAVDESS' speech")
    parser.add_argument("--ferplus", type=Path, required=True, help="folder of FER+")
    parser.add_argument("--target", type=Path, default=SHIPPED, help="folder that the models are written to")
    given = parser.parse_args()
    faces = kept("video", lambda: faces_of(given.ferplus), given.ferplus)
    sentences = kept("text", sentences_of, SENTENCES)
    voices = kept("speech", lambda: voices_of(given.ravdess), given.ravdess)
    make(given.target / "starter", [*voices, *faces, *sentences], "cc-by-nc-sa-4.0")
    make(given.target / "starter-open", [*faces, *sentences], "other")
    shutil.rmtree(WORK)


Row = dict[str, Any]
"""One utterance: id, label, speaker, session, and the features (T, D) of the one modality that it has."""

ABOUT = ("id", "label", "speaker", "session")


def kept(modality: str, rows: Callable[[], Iterator[Row]], source: Path, work: Path = WORK) -> list[Row]:
    """The rows of a modality: those that an earlier run has left in `work`, where files and code are as they were."""
    files = sorted(path for path in (source, *source.rglob("*")) if path.is_file())
    stamps = [(str(path.relative_to(source)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    code = code_digest("starter.make", f"cmarr.encoders.{ENCODERS[modality]['name']}")
    path = work / f"{modality}-{digest([stamps, code])}.npz"
    if not path.is_file():
        found = list(progress(rows(), modality, "row"))
        columns: dict[str, Any] = {name: np.array([row[name] for row in found]) for name in ABOUT}
        frames = [row[modality] for row in found]
        columns |= {"lengths": [len(own) for own in frames], "frames": np.concatenate(frames)}
        with atomic(path) as temporary, temporary.open("wb") as opened:
            np.savez(opened, **columns)
        print(f"{modality}: {len(found)} rows")
    with np.load(path) as read:
        about = zip(*(read[name].tolist() for name in ABOUT), strict=True)
        frames = np.split(read["frames"], np.cumsum(read["lengths"])[:-1])
    return [
        dict(zip(ABOUT, row, strict=True)) | {modality: own} for row, own in zip(about, frames, strict=True)
    ]


def make(folder: Path, rows: list[Row], licence: str) -> None:
    """Train, measure, write one model."""
    used = [m for m in ENCODERS if any(m in row for row in rows)]
    corpus = Corpus.from_arrays(
        [row["label"] for row in rows],
        speech=_of("speech", rows),
        video=_of("video", rows),
        text=_of("text", rows),
        ids=[row["id"] for row in rows],
        speakers=[row["speaker"] for row in rows],
        sessions=[row["session"] for row in rows],
        encoders={m: ENCODERS[m] for m in used},
        name=folder.name,
    )
    model = train(corpus, "late", prior="even", C=0.01, learn_from="training")
    measured = scores_of(model)
    print(measured.to_string(index=False))
    trained = model.trained(ensemble=True)
    about = trained.about.model_copy(update={"card": card(measured, used), "licence": licence})
    write_repository(replace(trained, about=about), folder, force=True)
    print(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.2f} MB")


def _of(modality: str, rows: list[Row]) -> list[np.ndarray | None] | None:
    """The features of a modality, None where it is absent; None if it is absent everywhere."""
    features = [row.get(modality) for row in rows]
    return features if any(frames is not None for frames in features) else None


def scores_of(model: TrainedMethod) -> pd.DataFrame:
    """WAR and UAR of each kind of test utterance, in %, with 95 % intervals; people resampled."""
    frames = predictions_of(model)
    kinds = {
        "voices of RAVDESS, as recorded": ("s", "voice", False),
        "the same in noise, quieter or louder, through a telephone": ("s", "voice", True),
        "faces of FER+": ("v", "face", False),
        "sentences of our own": ("t", "sentence", False),
    }
    rows = []
    for kind, (condition, prefix, copies) in kinds.items():
        own = [f[f["id"].str.startswith(prefix) & (f["id"].str.contains("-copy") == copies)] for f in frames]
        if not sum(map(len, own)):
            continue
        found = summarise(own, model.corpus.task)
        cells = {metric: found[metric][condition] for metric in ("WAR", "UAR")}
        told = {m: "{mean:.1f} [{lo:.1f}, {hi:.1f}]".format(**_percent(c)) for m, c in cells.items()}
        rows.append({"read": kind, "number": cells["UAR"]["n"], "people": found["meta"]["clusters"], **told})
    return pd.DataFrame(rows)


def _percent(cell: dict[str, Any]) -> dict[str, float]:
    return {key: 100 * cell[key] for key in ("mean", "lo", "hi")}


def card(measured: pd.DataFrame, used: list[str]) -> str:
    """What the model card says of training, of scores and of licences."""
    about = {m: m in used for m in ENCODERS}
    sentences = len(SENTENCES.read_text(encoding="utf-8").splitlines())
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, autoescape=False
    )
    template = environment.from_string(CARD.read_text(encoding="utf-8"))
    rows = measured.to_dict("records")
    return template.render(about, rows=rows, copies=COPIES, parts=PARTS, sentences=sentences)


def voices_of(root: Path) -> Iterator[Row]:
    """RAVDESS' clips, and the copies of each as other rooms and microphones would have it."""
    found, _ = read_corpus("ravdess", root, dataset="ravdess")
    clips = [u for u in found if u.label in CLASSES and u.audio]
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        heard = []
        for clip in clips:
            heard.append(replace(clip, id=f"voice-{clip.id}", text=None, video=None))
            samples, rate = soundfile.read(str(clip.audio), dtype="float32", always_2d=True)
            for number in range(COPIES):
                path = Path(scratch, f"{clip.id}-{number}.wav")
                changed = elsewhere(samples.mean(1), rate, number, generator)
                soundfile.write(path, changed, rate, subtype="FLOAT")
                heard.append(replace(heard[-1 - number], id=f"voice-{clip.id}-copy{number}", audio=str(path)))
        for utterance, frames in _encoded("speech", heard):
            actor = int(str(clip_number(utterance.id)))
            yield _row(utterance.id, utterance.label, f"actor-{actor:02d}", (actor - 1) // 2, speech=frames)


def clip_number(name: str) -> str:
    """The actor's number in the name of a clip, '12' of 'voice-01-05-02-01-01-12-copy3'."""
    return name.partition("-copy")[0].rpartition("-")[2]


def elsewhere(samples: np.ndarray, rate: int, kind: int, generator: np.random.Generator) -> np.ndarray:
    """Samples (N,) in [-1, 1] with white or low noise of 5 to 30 dB, through a telephone's band where `kind` is 3; and
    20 dB quieter to 10 dB louder, cut off at full scale.
    """
    noise = generator.standard_normal(len(samples))
    spectrum = np.fft.rfft(noise)
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    if kind % 2:
        spectrum = spectrum / np.sqrt(np.maximum(hertz, 50.0))
    noise = np.fft.irfft(spectrum, len(samples))
    loudness = np.sqrt(np.mean(samples**2)) / np.sqrt(np.mean(noise**2))
    mixed = samples + noise * loudness * 10 ** (-generator.uniform(5, 30) / 20)
    if kind == COPIES - 1:
        through = np.fft.rfft(mixed)
        through[(hertz < 300) | (hertz > 3400)] = 0
        mixed = np.fft.irfft(through, len(samples))
    louder = mixed * 10 ** (generator.uniform(-20, 10) / 20)
    clipped: np.ndarray = np.clip(louder, -1, 1).astype(np.float32)
    return clipped


def faces_of(root: Path) -> Iterator[Row]:
    """The faces of FER+ that Denseface was not trained on, and that are clearly of one of the four classes."""
    encoder: Any = build_encoder(ENCODERS["video"]["name"], ENCODERS["video"]["settings"])
    for part in ("valid", "test"):
        faces = read_part(root, part).real()
        most = label(faces.votes)
        faces = faces.only(np.isin(most, list(EMOTIONS)) & ~is_tied(faces.votes))
        patches = np.stack([face_patch(image) for image in faces.images])
        for first in range(0, len(faces), 8):
            (rows,) = encoder.rows([patches[first : first + 8]])
            for number, row in enumerate(rows, first):
                name = f"face-{part}-{faces.names[number].partition('.')[0]}"
                emotion = EMOTIONS[int(label(faces.votes[number : number + 1])[0])]
                yield _row(name, emotion, name, number, video=row[None])


def sentences_of() -> Iterator[Row]:
    """The sentences, with their features."""
    lines = [line.split("\t") for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    utterances = [
        Utterance(f"sentence-{number:03d}", text=text, label=emotion)
        for number, (emotion, text) in enumerate(lines)
    ]
    for number, (utterance, frames) in enumerate(_encoded("text", utterances)):
        yield _row(utterance.id, utterance.label, utterance.id, number, text=frames)


def _row(name: str, emotion: str | None, speaker: str, part: int, **features: np.ndarray) -> Row:
    return {
        "id": name,
        "label": emotion,
        "speaker": speaker,
        "session": f"part{part % PARTS + 1}",
        **features,
    }


def _encoded(modality: str, utterances: list[Utterance]) -> Iterator[tuple[Utterance, np.ndarray]]:
    own = ENCODERS[modality]
    encoder = build_encoder(own["name"], own["settings"])
    for utterance, result in zip(utterances, encoder.encode(utterances), strict=True):
        if isinstance(result, Rejected):
            raise UserError(f"{utterance.id}: {result.reason}")
        yield utterance, result.frames


if __name__ == "__main__":
    main()
