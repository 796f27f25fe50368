"""How faces are looked for: what every encoder of faces is set by; and a look at a few, for the contact sheet."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from cmarr.declaration import NotNegative, Place, Positive, Section, setting
from cmarr.files import file_digest
from cmarr.media.clips import Failure, by_file, clip_of
from cmarr.media.faces_file import SeenFaces
from cmarr.media.worker_pool import decode
from cmarr.utterance import Utterance

if TYPE_CHECKING:
    from cmarr.media.faces import FaceReader, Faces


class FaceSection(Section):
    """What every encoder of faces declares."""

    rate: Positive = setting(10.0, "faces a second, > 0")
    margin: NotNegative = setting(0.1, "border added around the detected face, as a share of its width, >= 0")
    detector: Literal["mtcnn", "haar", "yunet"] = setting(
        "mtcnn",
        "mtcnn (turned, tilted and small faces, too), haar (faces from the front), yunet (needs a file)",
    )
    detector_file: Place = setting(
        "", "YuNet's ONNX file, face_detection_yunet_2023mar.onnx in OpenCV's model zoo"
    )


class FaceSettings:
    """Faces a second, margin, detector and its file. `reader` makes a FaceReader of them, in any process.

    Of the utterances in `wanted`, an encoder that has their faces keeps them in `found`, by id.

    Raises UserError for a detector whose file does not exist.
    """

    def __init__(self, section: FaceSection):
        from cmarr.media.detectors import build_detector, require_model
        from cmarr.media.faces import FaceReader

        self.rate, self.margin = section.rate, section.margin
        self.detector, self.detector_file = section.detector, section.detector_file
        if self.detector == "mtcnn":
            build_detector("mtcnn")  # refuses weights that are not there
        if self.detector == "yunet":
            require_model(self.detector_file)
        self.reader = partial(FaceReader, self.rate, self.margin, self.detector, self.detector_file)
        self.wanted: frozenset[str] = frozenset()
        self.found: dict[str, Faces | Failure] = {}

    def note(self, id: str, faces: "Faces | Failure") -> None:
        """Keep the faces of an utterance, if they are wanted."""
        if id in self.wanted:
            self.found[id] = faces

    def __str__(self) -> str:
        """What decides the crops. A detector's file is named by its content."""
        which: str = self.detector
        if which == "yunet":
            which += f":{file_digest(self.detector_file)[:16]}"
        return f"rate={self.rate} margin={self.margin} detector={which}"


UTTERANCES, FACES = 40, 5
"""Utterances of a sample, and faces of each."""


def spread(utterances: Sequence[Utterance], count: int = UTTERANCES) -> list[Utterance]:
    """At most `count` utterances that have video, spread over speakers and, within them, over classes."""
    speakers: dict[str, dict[str, deque[Utterance]]] = defaultdict(lambda: defaultdict(deque))
    for utterance in sorted(utterances, key=lambda u: u.id):
        if utterance.video is not None:
            speakers[utterance.speaker or ""][utterance.label or ""].append(utterance)
    names = sorted(speakers)
    if len(names) > count:
        names = [names[i * len(names) // count] for i in range(count)]
    classes = sorted({label for name in names for label in speakers[name]})
    chosen: list[Utterance] = []
    turn = 0
    while len(chosen) < count and any(speakers[name] for name in names):
        for place, name in enumerate(names):
            left = speakers[name]
            # Another class in every turn, beginning with another one for every speaker.
            wanted = classes[(turn + place) % len(classes) :] + classes[: (turn + place) % len(classes)]
            label = next((c for c in wanted if c in left), None)
            if label is None or len(chosen) == count:
                continue
            chosen.append(left[label].popleft())
            if not left[label]:
                del left[label]
        turn += 1
    return sorted(chosen, key=lambda u: u.id)


def see_faces(
    utterances: Sequence[Utterance],
    reader: "Callable[[], FaceReader]",
    workers: int,
    seconds: float,
    found: "Mapping[str, Faces | Failure] | None" = None,
) -> list[SeenFaces]:
    """Some faces of each utterance, as `reader` finds them in worker processes, each within `seconds`.

    found: faces of some of them, by id, which are not sought again
    """
    known = dict(found or {})
    missing = [utterance for utterance in utterances if utterance.id not in known]
    groups = by_file(clip_of(utterance, "v") for utterance in missing)
    results = decode(reader, groups, workers, seconds)
    known |= {utterance.id: faces for utterance, faces in zip(missing, results, strict=True)}
    return [_seen(utterance, known[utterance.id]) for utterance in utterances]


def _seen(utterance: Utterance, faces: "Faces | Failure") -> SeenFaces:
    from cmarr.media.faces import SIZE, NoFace

    who = utterance.id, utterance.speaker, utterance.label
    if isinstance(faces, Failure):
        nothing = np.zeros((0, SIZE, SIZE), np.uint8)
        looked = faces.n_frames if isinstance(faces, NoFace) else 0
        reason = faces.reason.replace(str(utterance.video), "the file")
        return SeenFaces(*who, nothing, 0, looked, reason, utterance.session)
    found = len(faces.patches)
    places = np.unique(np.linspace(0, found - 1, FACES).round().astype(int))
    return SeenFaces(*who, faces.patches[places], found, faces.n_frames, session=utterance.session)
