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

import av
import cv2
import numpy as np
import soundfile

from cmarr.corpora.demo import face, performance, speech
from cmarr.corpora.demo.content import EMOTIONS, Speaker, Take, plan
from cmarr.corpora.demo.reader import COLUMNS, LABELS
from cmarr.errors import UserError
from cmarr.execution.jobs import run_jobs
from cmarr.execution.ray import Cluster
from cmarr.files import atomic, write_text

MARKER = ".generated"
"""File that says a folder is the generator's own."""


def generate(
    folder: Path,
    seed: int,
    workers: int,
    sessions: int = 5,
    utterances: int = 240,
    cluster: Cluster | None = None,
) -> None:
    """Make the corpus in `folder`: `utterances` by two speakers a session, rendered by `workers` processes.

    With a `cluster`, by its nodes, which must see the folder.

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
        partial(_render, folder),
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


def _render(folder: Path, take: Take, tick: Callable[[], None]) -> dict[str, str]:
    """Write the media of one take and return its row of the table."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([*take.seed, 1])
    track = performance.tracks(take)
    audio = video = ""
    if "s" not in take.absent:
        audio = f"audio/{take.id}.wav"
        wave = speech.synthesise(track, performance.voice(take), rng)
        with atomic(folder / audio) as temporary:
            soundfile.write(
                temporary, np.round(wave * 32767).astype(np.int16), speech.SAMPLE_RATE, format="WAV"
            )
    # Half of those without video were filmed from behind: a file, but no face in it.
    behind = "v" in take.absent and take.seed[-1] % 2 == 0
    if "v" not in take.absent or behind:
        video = f"video/{take.id}.mp4"
        portrait = _portrait(take.speaker, not behind)
        frames = [portrait.frame(e) for e in performance.expressions(take, track, rng)]
        with atomic(folder / video) as temporary:
            _write_video(temporary, frames)
    tick()
    text = "" if "t" in take.absent else take.text
    speaker = take.speaker
    row = (take.id, text, audio, video, take.emotion, speaker.id, speaker.sex, speaker.session)
    return dict(zip(COLUMNS, row, strict=True))


@lru_cache(maxsize=4)
def _portrait(speaker: Speaker, facing: bool) -> face.Portrait:
    room = face.wall((speaker.seed[0], int(speaker.session)))
    return face.Portrait(face.looks(speaker.seed, speaker.sex, room), facing)


def _write_video(path: Path, frames: list[np.ndarray]) -> None:
    """Encode RGB frames as H.264 on one thread: more threads cut the frames into other slices."""
    with av.open(str(path), "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=performance.FRAMES_PER_SECOND)
        stream.width = stream.height = face.SIZE
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "20", "x264-params": "cpu-independent=1:threads=1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
