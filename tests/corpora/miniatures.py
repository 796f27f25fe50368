"""Miniature trees of the licensed and the open corpora, in their exact layouts, quirks included."""

import csv
import pickle
import tempfile
from functools import cache
from pathlib import Path

import av
import h5py
import numpy as np
import soundfile


def sound(path, seconds=0.5):
    """A real sound file: a tone at 16 kHz."""
    write_bytes(path, _made(path.suffix, seconds))


def film(path, seconds=1.0, sounding=False):
    """A real, tiny video file, ten frames a second, with or without sound."""
    write_bytes(path, _made(path.suffix, seconds, sounding))


@cache
def _made(suffix, seconds, sounding=False):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"made{suffix}"
        if suffix == ".wav":
            soundfile.write(path, 0.1 * np.sin(np.arange(round(seconds * 16_000)) / 5), 16_000)
            return path.read_bytes()
        with av.open(str(path), "w") as container:
            stream = container.add_stream("flv1" if suffix == ".flv" else "mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            track = container.add_stream("aac", rate=16_000, layout="mono") if sounding else None
            for _ in range(round(seconds * 10)):
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if track:
                samples = 0.1 * np.sin(np.arange(round(seconds * 16_000), dtype=np.float32) / 5)[None]
                heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                heard.sample_rate = 16_000
                container.mux(track.encode(heard))
                container.mux(track.encode(None))
        return path.read_bytes()


def write_bytes(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write(path, content, encoding="utf-8"):
    write_bytes(path, content.encode(encoding))


def litter(root):
    """What macOS leaves beside every file."""
    for path in [p for p in root.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")


IEMOCAP_LABELS = ("ang", "hap", "exc", "neu", "sad", "fru", "xxx")


def iemocap(
    root,
    sessions=(1, 2, 3, 4, 5),
    folder="IEMOCAP_full_release",
    emo="EmoEvaluation",
    transcripts="transcriptions",
    media=True,
):
    """Two dialogues a session, one for each wearer of the markers, both actors speaking every label once."""
    for n in sessions:
        for wearer in "FM":
            dialogue = f"Ses0{n}{wearer}_impro01"
            base = root / folder / f"Session{n}"
            labels = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            words = []
            for k, (speaker, label) in enumerate((s, e) for e in IEMOCAP_LABELS for s in "FM"):
                turn, start = f"{dialogue}_{speaker}{k // 2:03d}", 0.2 * k
                ratings = "nan, 2.5000, 3.0000" if k == 3 else "2.5000, 3.5000, 4.0000"
                labels += [
                    f"[{start:.4f} - {start + 0.2:.4f}]\t{turn}\t{label}\t[{ratings}]",
                    "C-E2:\tNeutral;\t()",
                    "A-E3:\tval 3; act 2; dom  2;\t()",
                    "",
                ]
                words.append(f"{turn} [{start:08.4f}-{start + 0.2:08.4f}]: Say {label}, please.")
                if k == 4:
                    words += [f"{dialogue}_{speaker}XX0: (no time)", "M: [LAUGHTER]", ""]
                if media:
                    sound(base / "sentences/wav" / dialogue / f"{turn}.wav", 0.2)
            write(base / "dialog" / emo / f"{dialogue}.txt", "\n".join(labels))
            write(base / "dialog" / emo / "Categorical" / f"{dialogue}_e2_cat.txt", "x :neutral:\n")
            write(base / "dialog" / transcripts / f"{dialogue}.txt", "\n".join(words))
            write(base / "dialog/MOCAP_head" / f"{dialogue}.txt", "Frame# Time pitch\n")
            if media:
                film(base / "dialog/avi/DivX" / f"{dialogue}.avi", 3.0)
        alignment = "\t SFrm  EFrm    SegAScr Word\n\t   0   22   -98 <s>\n\t  23   33  -83 SAY(2)\n"
        alignment += "\t  34   50   -12 ++LAUGHTER++\n\t  51   60   -12 PLEASE\nTotal score: -290\n"
        turn = f"Ses0{n}F_impro01_F000"
        write(
            root / folder / f"Session{n}/sentences/ForcedAlignment/Ses0{n}F_impro01/{turn}.wdseg", alignment
        )
    return root


MSP_LABELS = "AHSNOX"


def msp_improv(
    root,
    nested=True,
    evaluation="Evalution.txt",
    transcripts="All_human_transcriptions",
    sessions=range(1, 7),
):
    """Each actor speaks every label once in scenario S and once in scenario R."""
    blocks = []
    for session in sessions:
        for sex in "FM":
            for scenario in "SR":
                for turn, label in enumerate(MSP_LABELS, 1):
                    name = f"IMPROV-S01A-{sex}{session:02d}-{scenario}-{sex}{'MF'[sex == 'M']}{turn:02d}"
                    values = "A:2.0; V:3.5; D:NaN ; N:4.2;" if turn == 1 else "A:2.8; V:3.0; D:3.0 ; N:4.2;"
                    blocks += [
                        f"UTD-{name}.avi; {label}; {values}",
                        "P01; Neutral; Neutral,Other; A:3.0; V:3.0; D:3.0; N:4.0;",
                        "",
                    ]
                    for kind, suffix, make in (("Audio", ".wav", sound), ("Video", ".avi", film)):
                        base = root / kind if nested else root
                        make(base / f"session{session}/S01A/{scenario}/MSP-{name}{suffix}", 0.1)
                    write(root / transcripts / f"MSP-{name}.txt", f"take {turn}\r\n")
    write(root / evaluation, "\n".join(blocks))
    return root


def crema_d(root, actors=range(1001, 1011), emotions=("ANG", "HAP", "NEU", "SAD", "FEA")):
    for actor in actors:
        for emotion in emotions:
            sound(root / f"AudioWAV/{actor}_DFA_{emotion}_XX.wav", 0.1)
            film(root / f"VideoFlash/{actor}_DFA_{emotion}_XX.flv", 0.2)
    return root


MELD_COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID",
    "Season", "Episode", "StartTime", "EndTime",
)  # fmt: skip
MELD_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
MELD_EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


def meld(root, sounding=True):
    """One dialogue a part, every emotion once, the same friends in all of them; one clip a part is missing."""
    for part, folder in MELD_FOLDERS.items():
        path = root / f"{part}_sent_emo.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(MELD_COLUMNS)
            for i, emotion in enumerate(MELD_EMOTIONS):
                text = "Oh my God, he\x92s lost it." if i == 0 else f"line {i}"
                speaker = ("Rachel", "Ross", "Joey")[i % 3]
                times = ("1", "2", "00:16:16,059", "00:16:21,731")
                writer.writerow([i, text, speaker, emotion, "negative", 0, i, *times])
                if i:
                    film(root / folder / f"dia0_utt{i}.mp4", 0.2, sounding)
        write(root / folder / "final_videos_testdia0_utt9.mp4", "not a clip")
    return root


def mosi_raw(root, videos=6, clips=3):
    """Segmented recordings of MOSI, their transcripts, and the labels in a table."""
    rows = [["video_id", "clip_id", "text", "label", "annotation", "mode"]]
    for v in range(videos):
        video = f"v{v}"
        lines = [f"{c}_DELIM_WORD {c}" for c in range(1, clips + 1)]
        write(root / f"Raw/Transcript/Segmented/{video}.annotprocessed", "\n".join(lines))
        for c in range(1, clips + 1):
            sound(root / f"Raw/Audio/WAV_16000/Segmented/{video}_{c}.wav", 0.1)
            film(root / f"Raw/Video/Segmented/{video}_{c}.mp4", 0.2)
            rows.append([video, c, f"WORD {c}", c - 2.0, "x", ("train", "valid", "test")[v % 3]])
    with (root / "label.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows(rows)
    return root


def mosei_raw(root, videos=6, clips=3):
    """Whole recordings of MOSEI (one video named by a number), transcripts with times, labels in a pickle."""
    parts = {name: {"id": [], "regression_labels": []} for name in ("train", "valid", "test")}
    for v in range(videos):
        video = f"{100178 + v}"
        lines = [f"{video}___{c}___{0.1 * c:g}___{0.1 * c + 0.1:g}___word {c}" for c in range(clips)]
        write(root / f"Raw/Transcript/Segmented/Combined/{video}.txt", "\n".join(lines) + "\n")
        film(root / f"Raw/Videos/Full/Combined/{video}.mp4", 0.5)
        sound(root / f"Raw/Audio/Full/WAV_16000/{video}.wav", 0.5)
        part = parts[("train", "valid", "test")[v % 3]]
        part["id"] += [f"{video}$_${c}" for c in range(clips)]
        part["regression_labels"] += [float(c - 1) for c in range(clips)]
    (root / "aligned_50.pkl").write_bytes(pickle.dumps(parts))
    return root


def mmin(root, sessions=(1, 2, 3, 4, 5), wrong_width=False):
    """A tree for IEMOCAP: four utterances a speaker, one a class, and the ten folds of the family."""
    random = np.random.default_rng(0)
    names = [f"Ses0{n}F_impro01_{s}{k:03d}" for n in sessions for s in "FM" for k in range(4)]
    classes = {name: int(name[-1]) for name in names}
    for folder, file, shape in (
        ("A", "comparE", (7, 130)),
        ("V", "denseface", (50, 342)),
        ("L", "bert_large", (22, 1024)),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        with h5py.File(root / folder / f"{file}.h5", "w") as opened:
            for i, name in enumerate(names):
                frames = random.normal(size=shape).astype(np.float32)
                if folder != "A":
                    frames[3 + i % 3 :] = 0
                if folder == "V" and i == 1:
                    frames[:] = 0
                if folder == "A" and i == 0 and wrong_width:
                    frames = frames[:, :-1]
                opened[name] = frames
    with h5py.File(root / "A/comparE_mean_std.h5", "w") as opened:
        opened["1/mean"], opened["1/std"] = np.zeros(130), np.ones(130)
    for fold, held_out in enumerate(((n, s) for n in sessions for s in "FM"), 1):
        folder = root / "target" / str(fold)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"trn": [], "val": [], "tst": []}
        for name in names:
            session, speaker = int(name[4]), name[-4]
            inside = "tst" if speaker == held_out[1] else "val"
            parts[inside if session == held_out[0] else "trn"].append(name)
        for part, members in parts.items():
            np.save(folder / f"{part}_int2name.npy", np.array([[m.encode()] for m in members]))
            np.save(folder / f"{part}_label.npy", np.eye(4)[[classes[m] for m in members]])
    return root


def files_of(root):
    """Relative names of all files."""
    return sorted(str(Path(p).relative_to(root)) for p in root.rglob("*") if p.is_file())
