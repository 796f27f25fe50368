"""Media: how much there is, what ends before an utterance does, and what shows few faces."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmarr.corpora.expected import Finding
from cmarr.corpora.headers import Header
from cmarr.corpora.statistics import durations
from cmarr.doctor.extraction import BEYOND
from cmarr.encoders.faces import see_faces, spread
from cmarr.errors import many, percent_text
from cmarr.media.clips import Failure
from cmarr.media.faces_file import FEW, face_share, few_faces
from cmarr.utterance import Utterance

if TYPE_CHECKING:
    from cmarr.media.faces import FaceReader

FAR = 5.0
"""Times the length of its file at which an utterance cannot end, whatever was rounded."""
SHOWN = 3
"""Examples that stand for the rest."""


def media_findings(utterances: Sequence[Utterance], headers: Mapping[str, Header | Failure]) -> list[Finding]:
    """How many files there are, how many cannot be opened, and what reaches beyond their ends."""
    if not headers:
        return [Finding("note", "no media files to open")]
    broken = sum(isinstance(header, Failure) for header in headers.values())
    size = sum(Path(path).stat().st_size for path, h in headers.items() if isinstance(h, Header))
    hours = sum(durations(utterances, headers).values()) / 3600
    summary = f"{many(len(headers), 'file')}, {_bytes(size)}, {hours:.2f} hours of utterances; "
    summary += f"{broken} cannot be opened" if broken else "every header can be opened"
    findings = [Finding("note" if broken else "ok", summary)]
    beyond = [u for u in utterances if _reaches_beyond(u, headers)]
    if beyond:
        ids = ", ".join(u.id for u in beyond[:SHOWN])
        far = sum(_reaches_beyond(u, headers, FAR) for u in beyond)
        advice = "the part that is there is used; an utterance with nothing of it is quarantined"
        if far > len(utterances) / 2:
            advice = f"{many(far, 'utterance')} end at {FAR:g} times the file's length or more: are times in seconds?"
        findings.append(
            Finding("warning", f"{many(len(beyond), 'utterance')} beyond the end of the file ({ids})", advice)
        )
    return findings


def face_findings(
    utterances: Sequence[Utterance], reader: "Callable[[], FaceReader]", workers: int, seconds: float
) -> list[Finding]:
    """Search faces, as extraction will, in utterances spread over speakers and classes."""
    sample = spread(utterances)
    seen = see_faces(sample, reader, workers, seconds)
    share = face_share(seen)
    if share is None:
        return []
    told = (
        f"a face in {percent_text(share)} % of the frames of {len(sample)} utterances, spread over speakers"
    )
    few = few_faces(seen)
    if share >= FEW and not few:
        return [Finding("ok", told)]
    whose = f"; fewer than {100 * FEW:.0f} %: {', '.join(few)}" if few else ""
    advice = "look at these recordings; without a face the video is absent. Another `detector` may see more"
    return [Finding("warning", told + whose, advice)]


def _reaches_beyond(
    utterance: Utterance, headers: Mapping[str, Header | Failure], times: float = 1.0
) -> bool:
    """Whether it ends after so many times the length of its file."""
    for modality in ("s", "v"):
        header, (_, end) = headers.get(utterance.source(modality) or ""), utterance.span(modality)
        last = header.span(modality)[1] if isinstance(header, Header) else None
        if last and end and end > times * last + BEYOND:
            return True
    return False


def _bytes(size: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.3g} TB"
