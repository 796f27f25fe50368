"""Media that cannot be opened, have no track of their modality, end before an utterance does, or show few faces."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cmarr.corpora.expected import Finding
from cmarr.corpora.headers import Header, read_headers
from cmarr.corpora.statistics import durations
from cmarr.encoders.faces import see_faces, spread
from cmarr.errors import many
from cmarr.media.clips import Failure
from cmarr.media.faces import FaceReader
from cmarr.media.faces_file import FEW, face_share, few_faces
from cmarr.modalities import NAMES
from cmarr.utterance import Utterance

SHOWN = 3
"""Examples that stand for the rest."""
_BEYOND = 0.5
"""Seconds that an utterance may reach beyond the end of its file; times are rounded, headers imprecise."""


def media_findings(
    utterances: Sequence[Utterance], max_rejected: float = 0.1, workers: int = 1, seconds: float = 10.0
) -> list[Finding]:
    """Open the header of every file, and judge what the utterances lose by those that cannot be opened.

    More than the share `max_rejected` of a modality's utterances is a problem, for extraction would stop.
    `workers` processes open the files, each within `seconds`.
    """
    paths = {p for u in utterances for p in (u.audio, u.video) if p}
    headers = read_headers(sorted(paths), workers, seconds)
    if not headers:
        return [Finding("note", "no media files to open")]
    broken = {path: header.reason for path, header in headers.items() if isinstance(header, Failure)}
    size = sum(Path(path).stat().st_size for path in headers if Path(path).is_file())
    hours = sum(durations(utterances, headers).values()) / 3600
    summary = f"{many(len(headers), 'file')}, {_bytes(size)}, {hours:.2f} hours of utterances; "
    summary += "every header can be opened" if not broken else f"{len(broken)} cannot be opened"
    findings = [Finding("ok" if not broken else "note", summary)]
    for modality in ("s", "v"):
        findings += _unreadable(modality, utterances, headers, max_rejected)
    findings += _repeated(utterances, headers)
    beyond = [u for u in utterances if _reaches_beyond(u, headers)]
    if beyond:
        ids = ", ".join(u.id for u in beyond[:SHOWN])
        advice = "the part that is there is used; an utterance with nothing of it is quarantined"
        findings.append(
            Finding("warning", f"{many(len(beyond), 'utterance')} beyond the end of the file ({ids})", advice)
        )
    return findings


def face_findings(
    utterances: Sequence[Utterance], reader: Callable[[], FaceReader], workers: int, seconds: float
) -> list[Finding]:
    """Search faces, as extraction will, in utterances spread over speakers and classes."""
    sample = spread(utterances)
    seen = see_faces(sample, reader, workers, seconds)
    share = face_share(seen)
    if share is None:
        return []
    told = f"a face in {100 * share:.0f} % of the frames of {len(sample)} utterances, spread over speakers"
    few = few_faces(seen)
    if share >= FEW and not few:
        return [Finding("ok", told)]
    whose = f"; fewer than {100 * FEW:.0f} %: {', '.join(few)}" if few else ""
    advice = "look at these recordings; without a face the video is absent. Another `detector` may see more"
    return [Finding("warning", told + whose, advice)]


def _unreadable(
    modality: str,
    utterances: Sequence[Utterance],
    headers: Mapping[str, Header | Failure],
    max_rejected: float,
) -> list[Finding]:
    """What of speech or video cannot be read, or has no such track."""
    having = [u for u in utterances if (u.source(modality) or "") in headers]
    reasons: dict[str, str] = {}
    for u in having:
        path = str(u.source(modality))
        header = headers[path]
        if isinstance(header, Failure):
            reasons[u.id] = header.reason
        elif not header.holds(modality):
            reasons[u.id] = f"{path} has no {'sound' if modality == 's' else 'video'} track"
        elif (last := header.span(modality)[1]) is not None and (
            start := u.span(modality)[0] or 0.0
        ) > last + _BEYOND:
            reasons[u.id] = (
                f"{path} lasts {last:.4g} s, the utterance begins at {start:g} s; are times in seconds?"
            )
    if not reasons:
        return []
    examples = "".join(f"\n{id}: {reason}" for id, reason in list(reasons.items())[:SHOWN])
    more = f"\n... and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    text = f"{NAMES[modality]} of {len(reasons)} of {len(having)} utterances cannot be read:{examples}{more}"
    if len(reasons) > max_rejected * len(having):
        advice = (
            f"extraction would stop (max_rejected = {max_rejected:g}): fetch the files again, or raise it"
        )
        return [Finding("problem", text, advice)]
    return [Finding("warning", text, "extraction quarantines them; fetch the files again if you can")]


def _repeated(utterances: Sequence[Utterance], headers: Mapping[str, Header | Failure]) -> list[Finding]:
    """The same part of the same recording in several rows: a leak between folds, and often a table gone wrong."""
    rows: dict[tuple[object, ...], list[Utterance]] = defaultdict(list)
    for u in utterances:
        for modality in ("s", "v"):
            if isinstance(headers.get(path := u.source(modality) or ""), Header):
                rows[modality, path, *u.span(modality), u.crop if modality == "v" else None].append(u)
    repeated = {tuple(u.id for u in same): same for same in rows.values() if len(same) > 1}
    if not repeated:
        return []
    first = next(iter(repeated.values()))
    differing = [
        w for w in ("label", "speaker") if any(len({getattr(u, w) for u in s}) > 1 for s in repeated.values())
    ]
    also = f", with different {' and '.join(w + 's' for w in differing)}" if differing else ""
    ids = ", ".join(u.id for u in first[:SHOWN]) + (", ..." if len(first) > SHOWN else "")
    text = f"{many(len(repeated), 'recording')} in several rows each{also} ({ids})"
    return [
        Finding(
            "warning", text, "give each row its `start` and `end`, or keep one: copies leak between folds"
        )
    ]


def _reaches_beyond(utterance: Utterance, headers: Mapping[str, Header | Failure]) -> bool:
    for modality in ("s", "v"):
        header, (_, end) = headers.get(utterance.source(modality) or ""), utterance.span(modality)
        last = header.span(modality)[1] if isinstance(header, Header) else None
        if last and end and end > last + _BEYOND:
            return True
    return False


def _bytes(size: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.3g} TB"
