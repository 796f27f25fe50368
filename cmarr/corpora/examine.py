"""Examining a corpus before hours are spent on it: what is there, what is missing, and what to do about it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmarr.corpora.expected import Finding, Published, counted
from cmarr.corpora.headers import Header, is_media, read_headers
from cmarr.corpora.labels import select_labels
from cmarr.corpora.manifest import Rejected, Utterance
from cmarr.corpora.registry import corpus_findings, corpus_published, read_corpus
from cmarr.corpora.statistics import durations
from cmarr.errors import UserError
from cmarr.folds.check import describe_rule
from cmarr.folds.split import split
from cmarr.media.clips import Failure
from cmarr.modalities import MODALITIES, NAMES

SHOWN = 3
"""Examples that stand for the rest."""
_BEYOND = 0.5
"""Seconds that an utterance may reach beyond the end of its file; times are rounded, headers imprecise."""


@dataclass
class Topic:
    """What was found out about one side of a corpus; the rows of a table stand above the findings."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)


def examine(
    dataset: str,
    kind: str,
    root: str | Path,
    *,
    options: Mapping[str, Any],
    classes: Sequence[str],
    merge: Mapping[str, str],
    features: str,
    folds: str,
    n_folds: int,
    max_rejected: float = 0.1,
    workers: int = 1,
    seconds: float = 10.0,
) -> Iterator[Topic]:
    """Topic by topic, as each is known. Ends early where the corpus cannot be read at all.

    The arguments are those of a dataset in params.yaml. `max_rejected` is the share of a modality's
    utterances that may be unreadable before extraction stops; `workers` processes open the headers of the
    media, each file within `seconds`.
    """
    try:
        utterances, rejected = read_corpus(kind, root, dataset=dataset, **options)
    except UserError as error:
        yield Topic("corpus", [Finding("problem", str(error))])
        return
    yield Topic("corpus", [_size(utterances), *_rejected(rejected, utterances)])
    published = corpus_published(kind, root, utterances, dataset=dataset, **options)
    yield _classes(utterances, published, {*classes, *merge})
    yield Topic("modalities", [f for m in MODALITIES for f in _modality(m, utterances)])
    found = corpus_findings(kind, root, utterances, dataset=dataset, **options)
    if features == "encoders":
        yield Topic("media", [*found, *_media(utterances, max_rejected, workers, seconds)])
    else:
        yield Topic("features", found)
    yield Topic("task", _task(utterances, classes, merge, folds, n_folds))


def _size(utterances: Sequence[Utterance]) -> Finding:
    speakers = {u.speaker: u.sex for u in utterances if u.speaker}
    sexes = Counter(sex for sex in speakers.values() if sex)
    parts = [f"{len(utterances)} utterances"]
    if speakers:
        known = f" ({sexes['f']} female, {sexes['m']} male)" if sexes else ""
        parts.append(f"{len(speakers)} speakers{known}")
    for what, values in (
        ("sessions", {u.session for u in utterances} - {None}),
        ("dialogues", {u.dialogue for u in utterances} - {None}),
        ("parts of an official split", {u.split for u in utterances} - {None}),
    ):
        parts += [f"{len(values)} {what}"] if values else []
    kept = [name for name in ("ratings", "words") if any(getattr(u, name) for u in utterances)]
    with_extras = f"; kept beside: {' and '.join(kept).replace('words', 'times of words')}" if kept else ""
    return Finding("ok", ", ".join(parts) + with_extras)


def _rejected(rejected: Sequence[Rejected], utterances: Sequence[Utterance]) -> list[Finding]:
    if not rejected:
        return []
    examples = "".join(f"\n{r.id}: {r.reason}" for r in rejected[:SHOWN])
    more = f"\n... and {len(rejected) - SHOWN} more" if len(rejected) > SHOWN else ""
    advice = "they are quarantined and counted in the report; put them right if there are many"
    return [Finding("warning", f"{len(rejected)} entries cannot be used:{examples}{more}", advice)]


def _classes(
    utterances: Sequence[Utterance], published: Sequence[Published], wanted: Collection[str]
) -> Topic:
    topic = Topic("classes")
    if not published:
        found = Counter(u.label or "no label" for u in utterances)
        topic.tables.append([["", "found"], *([name, str(n)] for name, n in sorted(found.items()))])
        topic.findings.append(Finding("note", "nothing is published to compare these counts with"))
        return topic
    several = len(published) > 1
    titles = [f"published ({i})" if several else "published" for i, _ in enumerate(published, 1)]
    rows = [["", "found", *titles]]
    for key in dict.fromkeys(key for counts in published for key in counts.counts):
        printed = [str(counts.counts.get(key, "-")) for counts in published]
        rows.append([key, str(counted(utterances, key)), *printed])
    topic.tables.append(rows)
    for title, counts in zip(titles, published, strict=True):
        topic.findings.append(_agreement(utterances, counts, title, wanted))
        if counts.groups:
            topic.tables.append(_by_group(utterances, counts))
            topic.findings += _missing_groups(utterances, counts)
    return topic


def _agreement(
    utterances: Sequence[Utterance], published: Published, title: str, wanted: Collection[str]
) -> Finding:
    off = [key for key, n in published.counts.items() if counted(utterances, key) != n]
    if not off:
        return Finding("ok", f"{title}: {published.title}; every count agrees")
    told = f"{title}: {published.title}; {len(off)} of {len(published.counts)} counts differ"
    own = [key for key in published.counts if set(key.split("+")) <= set(wanted)]
    if own and not set(own) & set(off):
        return Finding("ok", f"{told}, none of them of this task's classes")
    return Finding("note", told)


def _by_group(utterances: Sequence[Utterance], published: Published) -> list[list[str]]:
    keys = list(next(iter(published.groups.values())))
    rows = [[f"found/published by {published.by}", *keys]]
    for name, counts in published.groups.items():
        members = published.group(utterances, name)
        rows.append([name, *(f"{counted(members, key)}/{counts[key]}" for key in keys)])
    return rows


def _missing_groups(utterances: Sequence[Utterance], published: Published) -> list[Finding]:
    missing = [name for name in published.groups if not published.group(utterances, name)]
    if not missing:
        return []
    advice = "copy what is missing; results without it do not compare with published ones"
    return [Finding("warning", f"nothing at all of {', '.join(missing)}", advice)]


def _modality(modality: str, utterances: Sequence[Utterance]) -> list[Finding]:
    name = NAMES[modality]
    lacking = [u for u in utterances if u.source(modality) is None]
    if not lacking:
        return [Finding("ok", f"{name}: all utterances")]
    if len(lacking) == len(utterances):
        advice = "fine if this corpus has none; conditions that need it print '-'"
        return [Finding("note", f"{name}: none at all", advice)]
    text = f"{name}: {len(utterances) - len(lacking)} of {len(utterances)} utterances"
    whole = _whole_dialogues(modality, utterances)
    examples = whole[:SHOWN] or [u.id for u in lacking[:SHOWN]]
    what = f"{len(whole)} whole dialogues" if whole else f"{len(lacking)} utterances"
    dots = ", ..." if (len(whole) or len(lacking)) > SHOWN else ""
    advice = "counted as naturally missing; copy the files if the corpus has them"
    return [Finding("warning", f"{text}; it is missing from {what} ({', '.join(examples)}{dots})", advice)]


def _whole_dialogues(modality: str, utterances: Sequence[Utterance]) -> list[str]:
    having: dict[str, int] = defaultdict(int)
    for u in utterances:
        if u.dialogue:
            having[u.dialogue] += u.source(modality) is not None
    return sorted(dialogue for dialogue, n in having.items() if not n)


def _media(
    utterances: Sequence[Utterance], max_rejected: float, workers: int, seconds: float
) -> list[Finding]:
    paths = {p for u in utterances for p in (u.audio, u.video) if p and is_media(p)}
    headers = read_headers(sorted(paths), workers, seconds)
    if not headers:
        return [Finding("note", "no media files to open")]
    broken = {path: answer.reason for path, answer in headers.items() if isinstance(answer, Failure)}
    size = sum(Path(path).stat().st_size for path in headers if Path(path).is_file())
    hours = sum(durations(utterances, headers).values()) / 3600
    told = f"{len(headers)} files, {_bytes(size)}, {hours:.2f} hours of utterances; "
    told += "every header can be opened" if not broken else f"{len(broken)} cannot be opened"
    findings = [Finding("ok" if not broken else "note", told)]
    for modality in ("s", "v"):
        findings += _unreadable(modality, utterances, headers, max_rejected)
    beyond = [u for u in utterances if _reaches_beyond(u, headers)]
    if beyond:
        ids = ", ".join(u.id for u in beyond[:SHOWN])
        advice = "the part that is there is used; an utterance with nothing of it is quarantined"
        findings.append(
            Finding("warning", f"{len(beyond)} utterances end after their file does ({ids})", advice)
        )
    return findings


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
        elif not (header.audio if modality == "s" else header.video):
            reasons[u.id] = f"{path} has no {'sound' if modality == 's' else 'video'} track"
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


def _reaches_beyond(utterance: Utterance, headers: Mapping[str, Header | Failure]) -> bool:
    for modality in ("s", "v"):
        header, (_, end) = headers.get(utterance.source(modality) or ""), utterance.span(modality)
        if isinstance(header, Header) and header.seconds and end and end > header.seconds + _BEYOND:
            return True
    return False


def _task(
    utterances: Sequence[Utterance],
    classes: Sequence[str],
    merge: Mapping[str, str],
    folds: str,
    n_folds: int,
) -> list[Finding]:
    try:
        kept, selection = select_labels(utterances, classes, merge)
        findings = [Finding("ok", str(selection))]
        cut = split(kept, folds, n_folds, classes=classes)
    except UserError as error:
        return [Finding("problem", str(error))]
    smallest, largest = (f(len(fold.test) for fold in cut) for f in (min, max))
    sizes = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    told = f"{describe_rule(kept, cut, folds)} Test parts of {sizes} utterances."
    return [*findings, Finding("ok", told)]


def _bytes(size: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.3g} TB"
