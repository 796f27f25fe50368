"""The demo corpus on disk: media files, transcripts and labels, the same bytes for the same seed.

Layout: `audio/<id>.wav` (16 kHz mono, 16 bit), `video/<id>.mp4` (25 frames/s), `labels.csv` (id, text,
audio, video, label, speaker, sex, session; an empty text, audio or video is naturally absent). The table is
written last: a folder without it is not a corpus.
"""

import csv
import io
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cmarr.corpora.demo import face, speech
from cmarr.corpora.demo.content import EMOTIONS, Speaker, Take, plan
from cmarr.corpora.demo.reader import COLUMNS, LABELS
from cmarr.corpora.demo.speech import FRAME_RATE, Tracks, Voice, articulate
from cmarr.errors import UserError
from cmarr.execution.jobs import run_jobs
from cmarr.execution.ray import Cluster
from cmarr.extras import extra
from cmarr.files import put_in_place, write_bytes, write_text

with extra("media"):
    import av
    import cv2
    import soundfile

FRAMES_PER_SECOND = 25

MARKER = ".generated"
"""File that says a folder is the generator's own."""


def generate(
    folder: Path,
    seed: int,
    workers: int,
    sessions: int = 5,
    utterances: int = 240,
    cluster: Cluster | None = None,
    work: Path | None = None,
) -> None:
    """Make the corpus in `folder`: `utterances` by two speakers a session, rendered by `workers` processes.

    With a `cluster`, by its nodes, which must see the folder. Media are made in `work` first, if it is given, and not
    again where a run of the same corpus that was killed has left them there.

    Every file depends on its utterance and the seed alone. Media of an earlier or a broken-off run are
    replaced, a folder with anybody else's files is not touched. Raises UserError for such a folder, and
    when the sizes do not make a corpus of all four emotions.
    """
    for name, value in (("seed", seed), ("sessions", sessions), ("utterances", utterances)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UserError(f"datasets.<name>.options.{name}: must be a whole number >= 0, not {value!r}")
    if sessions < 2:
        raise UserError(f"the demo corpus needs at least 2 sessions to leave one out, not {sessions}")
    if utterances < len(EMOTIONS) * 2 * sessions:
        raise UserError(
            f"the demo corpus needs {len(EMOTIONS)} utterances for each of its {2 * sessions} speakers: "
            f"at least {len(EMOTIONS) * 2 * sessions}, not {utterances}"
        )
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise UserError(
            f"{folder} holds files that this generator did not make; give the demo corpus a folder of its own "
            "(datasets.<name>.root)"
        )
    write_text(folder / MARKER, "Made by the demo corpus generator, which will replace what lies here.\n")
    (folder / LABELS).unlink(missing_ok=True)
    for kind, suffix in (("audio", ".wav"), ("video", ".mp4")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for stale in (folder / kind).glob(f"*{suffix}"):
            stale.unlink()
    takes = plan(seed, sessions, utterances)
    rows = run_jobs(
        partial(_render, folder, work or folder),
        takes,
        workers=workers,
        threads=1,
        label="demo corpus",
        unit="utterance",
        units_per_job=1,
        cluster=cluster,
    )
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / LABELS, table.getvalue())


def _render(folder: Path, work: Path, take: Take, tick: Callable[[], None]) -> dict[str, str]:
    """Write the media of one take and return its row of the table."""
    audio = "" if "s" in take.absent else f"audio/{take.id}.wav"
    # Half of those without video were filmed from behind: a file, but no face in it.
    behind = "v" in take.absent and take.seed[-1] % 2 == 0
    video = f"video/{take.id}.mp4" if "v" not in take.absent or behind else ""
    media = [name for name in (audio, video) if name]
    if not all((work / name).is_file() for name in media):
        _write_media(work, take, audio, video, facing=not behind)
    if work != folder:
        for name in media:
            put_in_place(work / name, folder / name)
    tick()
    text = "" if "t" in take.absent else take.text
    speaker = take.speaker
    row = (take.id, text, audio, video, take.emotion, speaker.id, speaker.sex, speaker.session)
    return dict(zip(COLUMNS, row, strict=True))


def _write_media(folder: Path, take: Take, audio: str, video: str, *, facing: bool) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng([*take.seed, 1])
    track = tracks(take)
    if audio:
        wave = speech.synthesise(track, voice(take), rng)
        sound = io.BytesIO()  # the library would not say that a disk is full
        soundfile.write(sound, np.round(wave * 32767).astype(np.int16), speech.SAMPLE_RATE, format="WAV")
        write_bytes(folder / audio, sound.getvalue())
    if video:
        portrait = _portrait(take.speaker, facing)
        frames = [portrait.frame(e) for e in expressions(take, track, rng)]
        write_bytes(folder / video, _video(frames))


@lru_cache(maxsize=4)
def _portrait(speaker: Speaker, facing: bool) -> face.Portrait:
    room = face.wall((speaker.seed[0], int(speaker.session)))
    return face.Portrait(face.looks(speaker.seed, speaker.sex, room), facing)


def _video(frames: list[np.ndarray]) -> bytes:
    """Encode RGB frames as H.264 on one thread: more threads cut the frames into other slices."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width = stream.height = face.SIZE
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "20", "x264-params": "cpu-independent=1:threads=1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def tracks(take: Take) -> Tracks:
    """What the mouth does: the pace is in the speed and in the pauses."""
    pace = np.clip(take.pace, -2, 2)
    return articulate(take.text, tempo=2.0 * 2 ** (0.25 * pace), pause=0.09 * 2 ** (-0.8 * pace))


def voice(take: Take) -> Voice:
    """Arousal is loud, high and lively; reach is projected, its lack breathy; doubt is thin and rises."""
    arousal, valence = take.affect["s"]
    reach, doubt = np.clip([take.reach, take.doubt], -2.2, 2.2)
    pitch, tract = _throat(take.speaker)
    return Voice(
        pitch=pitch * 2 ** ((1.6 * arousal + 1.0 * doubt) / 12),
        pitch_range=float(np.clip(2.5 + 1.2 * arousal, 0.5, 6)),
        final=-3.0 + 3.5 * doubt,
        tract=tract * (1 + 0.02 * valence),
        level=3.2 * arousal,
        tilt=-5.0 + 1.0 * arousal + 1.6 * reach,
        breath=-20.0 - 6.0 * reach,
        chest=-4.0 * doubt,
        room=-66.0,
    )


def expressions(take: Take, track: Tracks, rng: np.random.Generator) -> list[face.Expression]:
    """Valence is in mouth and brows; reach opens the mouth; pace the eyes; doubt tilts the head."""
    arousal, valence = take.affect["v"]
    pace, reach, doubt = np.clip([take.pace, take.reach, take.doubt], -2.2, 2.2)
    count = max(1, int(track.seconds * FRAMES_PER_SECOND))
    at = ((np.arange(count) + 0.5) / FRAMES_PER_SECOND * FRAME_RATE).astype(int)
    liveliness = 0.5 * 2 ** (0.5 * pace + 0.2 * arousal)

    def wander(size: float) -> np.ndarray:
        slow = gaussian_filter1d(rng.standard_normal(count + 20), 6, mode="reflect")[10:-10]
        return np.asarray(size * 3.5 * slow)

    blink = np.zeros(count)
    blink[np.flatnonzero(rng.random(count) < 0.012)] = 1
    blink = np.minimum(gaussian_filter1d(blink, 1.0, mode="constant") * 2.6, 1)
    smile = np.clip(0.42 * valence, -1, 1) + wander(0.04)
    frown = np.clip(-0.35 * valence - 0.1 * doubt, -0.9, 0.9) + wander(0.05)
    lids = np.clip(0.85 + 0.22 * pace + 0.08 * arousal, 0.35, 1.25) * (1 - 0.9 * blink)
    opening = np.clip(track.opening[at] * 2 ** (0.5 * reach + 0.25 * arousal) * 0.75, 0, 1.2)
    roll = np.clip(3.5 * doubt, -7, 7) + wander(0.8 * liveliness)
    yaw = wander(0.3 * liveliness) + 0.95 * pace
    pitch = wander(0.25 * liveliness) + 1.0 * reach + 0.6 * track.accent[at]
    sway = np.stack([wander(1.6 * liveliness), wander(1.0 * liveliness)], 1)
    spread = np.clip(track.spread[at] + 0.1 * valence, -1, 1.2)
    return [
        face.Expression(
            float(opening[i]), float(spread[i]), float(smile[i]), float(frown[i]), float(lids[i]),
            float(roll[i]), float(yaw[i]), float(pitch[i]), (float(sway[i, 0]), float(sway[i, 1])),
        )
        for i in range(count)
    ]  # fmt: skip


def _throat(speaker: Speaker) -> tuple[float, float]:
    """Pitch in Hz and formant factor of a speaker at rest."""
    rng = np.random.default_rng([*speaker.seed, 3])
    pitch, tract = (190.0, 1.10) if speaker.sex == "f" else (118.0, 1.0)
    return pitch * 2 ** float(rng.uniform(-1.5, 1.5) / 12), tract * float(rng.uniform(0.97, 1.03))
