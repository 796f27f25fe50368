"""The contact sheet: what the video encoder sees."""

from collections.abc import Sequence

import numpy as np

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.errors import percent_text
from cmarr.extras import extra
from cmarr.media.faces_file import FEW, NAME, SeenFaces, face_share, face_shares, few_faces, read_faces
from cmarr.report.page import Section, Strip, Strips

GAP = 2
"""Pixels between two faces."""
QUALITY = 82
"""Of the JPEGs, 0 to 100."""


def faces_section(seen: Sequence[SeenFaces] | None) -> Section:
    """The sample of faces; `seen` None: the features of this corpus were not made from faces here."""
    title = "What the video encoder sees"
    if not seen:
        told = (
            "No faces were cut out for this dataset: its features came with the corpus, or it has no video; one with "
            "`features: encoders` and videos shows them here."
        )
        return Section("faces", title, missing=told)
    caption = f"Contact sheet: {describe_faces(seen)}. A sample of utterances, up to five faces of each."
    return Section("faces", title, _shares(seen), [Strips(caption, [strip(one) for one in seen])])


def _shares(seen: Sequence[SeenFaces]) -> list[str]:
    """Frames with a face, by session and speaker; and of whom the video encoder sees too little."""
    lines = []
    for kind in ("session", "speaker"):
        if shares := face_shares(seen, kind):
            told = ", ".join(f"{name} {percent_text(share)} %" for name, share in shares.items())
            lines.append(f"Frames of the sample that show a face, by {kind}: {told}.")
    if few := few_faces(seen):
        lines.append(
            f"Fewer than {100 * FEW:.0f} % of the frames show a face: {', '.join(few)}. Where there is none, the "
            "video is absent; look at the recordings, or try another detector."
        )
    return lines


def strip(one: SeenFaces) -> Strip:
    """The faces of one utterance side by side, with speaker, class and id."""
    told = "  ·  ".join(part for part in (one.label, one.speaker, one.id) if part)
    told += f"  ·  face in {one.found} of {one.looked} frames" if one.looked else ""
    if not len(one.patches):
        return Strip(b"", 0, 0, told, one.reason or "no face found")
    size = one.patches.shape[-1]
    gap = np.full((size, GAP), 255, np.uint8)
    row = [part for patch in one.patches for part in (patch, gap)][:-1]
    image = np.concatenate(row, axis=1)
    with extra("media"):
        import cv2

    written, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not written:
        raise RuntimeError("OpenCV cannot write JPEG")
    alt = f"{len(one.patches)} faces of {one.id}"
    return Strip(jpeg.tobytes(), image.shape[1], image.shape[0], told, alt)


def describe_faces(seen: Sequence[SeenFaces]) -> str:
    """How often there is a face: 'a face in 38 of 40 utterances, in 87 % of all frames'."""
    having = [one for one in seen if len(one.patches)]
    share = face_share(seen)
    told = "" if share is None else f", in {percent_text(share)} % of all frames"
    return f"a face in {len(having)} of {len(seen)} utterances{told}"


def section(study: Study) -> Section:
    """The faces that extraction kept, where there are any."""
    sample = study.at.features / "video" / NAME
    return faces_section(read_faces(sample) if sample.is_file() else None)


ANALYSIS = Analysis(section)
