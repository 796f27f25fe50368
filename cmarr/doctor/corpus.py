"""Examining a corpus before hours are spent on it: what is there, what is missing, and what to do about it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cmarr.corpora.expected import RANGES, Finding, Published, counted, share_here
from cmarr.corpora.headers import Header, read_headers
from cmarr.corpora.inventory import unnamed_media
from cmarr.corpora.labels import select_labels
from cmarr.corpora.registry import (
    corpus_findings,
    corpus_inventory,
    corpus_published,
    read_corpus,
)
from cmarr.corpora.statistics import durations
from cmarr.doctor.extraction import Source, try_extraction
from cmarr.doctor.media import media_findings
from cmarr.errors import UserError, listed, many
from cmarr.files import refusal
from cmarr.folds.files import Fold
from cmarr.folds.hygiene import Corpus, hygiene, percent, plain, require_balanced_speakers
from cmarr.folds.split import describe_rule, split
from cmarr.media.clips import Failure
from cmarr.modalities import MODALITIES, NAMES
from cmarr.settings.schema import Dataset
from cmarr.utterance import Rejected, Utterance

SHOWN = 3
"""Examples that stand for the rest."""
COMPLETE = 0.97
"""Share of a known corpus from which it counts as whole: releases differ by a few utterances."""


@dataclass
class Topic:
    """What was found out about one side of a corpus; the rows of a table stand above the findings."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)


def examine(
    name: str,
    dataset: Dataset,
    root: str | Path,
    *,
    sources: Mapping[str, Source],
    workers: int = 1,
    normalise: str = "corpus",
    faces: Callable[[Sequence[Utterance]], list[Finding]] | None = None,
) -> Iterator[Topic]:
    """Topic by topic, as each is known. Ends early where the corpus cannot be read at all.

    `dataset` is the section `name` of params.yaml; the corpus lies at `root`. `sources` are those of the modalities'
    features, letter by letter; none where the settings do not say. `workers` processes open the headers of the
    media. `normalise` is that of params.yaml. `faces` looks for faces in the videos of some of the utterances.
    """
    kind, options = dataset.kind, dataset.options
    if kind == "demo" and not Path(root).exists():
        yield Topic("corpus", [Finding("note", "not generated yet", "the pipeline generates it")])
        return
    try:
        utterances, rejected = read_corpus(kind, root, dataset=name, **options)
        corpus_inventory(kind, root, dataset=name, **options)
    except (UserError, OSError) as error:
        yield Topic("corpus", [Finding("problem", _told(error))])
        return
    left = unnamed_media(root, utterances, rejected) if dataset.features == "encoders" else {}
    yield Topic("corpus", [_size(utterances), *_rejected(rejected), *_passed_over(left)])
    published = corpus_published(kind, root, utterances, dataset=name, **options)
    yield _classes(utterances, published, {*dataset.classes, *dataset.merge})
    holds = set[str]().union(*(counts.holds for counts in published))
    yield Topic("modalities", [f for m in MODALITIES for f in _modality(m, utterances, m in holds)])
    kept, folds, task = _task(utterances, dataset)
    yield Topic("task", task)
    found = corpus_findings(kind, root, utterances, dataset=name, **options)
    headers: dict[str, Header | Failure] = {}
    if dataset.features == "encoders":
        headers = read_headers(sorted({p for u in kept for p in (u.audio, u.video) if p}), workers)
        yield Topic("media", [*found, *media_findings(kept, headers)])
        if seen := faces(kept) if faces else []:
            yield Topic("faces", seen)
    else:
        yield Topic("features", found)
    yield Topic("extraction", try_extraction(sources, kept, headers, durations(kept, headers)))
    refused = _normalisation(normalise, kept)
    yield Topic(
        "hygiene", [*hygiene(Corpus(kept, folds, headers, RANGES.get(kind, {}))), *refused] or [CLEAN]
    )


def _normalisation(normalise: str, utterances: Sequence[Utterance]) -> list[Finding]:
    """A problem where the stage that cuts the folds would refuse `normalise: speaker`."""
    try:
        require_balanced_speakers(normalise, utterances)
    except UserError as error:
        return [Finding("problem", str(error))]
    return []


CLEAN = Finding(
    "ok", "nothing lets a model answer from something else than what is felt, as far as is looked for"
)


def _told(error: UserError | OSError) -> str:
    """What the stage that stops at it would print; raises what is a defect of this product."""
    told = str(error) if isinstance(error, UserError) else refusal(error)
    if told is None:
        raise error
    return told


def _passed_over(left: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Media that belong to no utterance, by ending."""
    return [
        Finding(
            "note",
            f"{many(len(names), f'{ending} file')} of no utterance passed over ({', '.join(names[:SHOWN])}"
            f"{', ...' if len(names) > SHOWN else ''})",
        )
        for ending, names in left.items()
    ]


def _size(utterances: Sequence[Utterance]) -> Finding:
    speakers = {u.speaker: u.sex for u in utterances if u.speaker}
    sexes = Counter(sex for sex in speakers.values() if sex)
    parts = [many(len(utterances), "utterance")]
    if speakers:
        known = f" ({sexes['f']} female, {sexes['m']} male)" if sexes else ""
        parts.append(many(len(speakers), "speaker") + known)
    for what, values in (
        ("session", {u.session for u in utterances} - {None}),
        ("dialogue", {u.dialogue for u in utterances} - {None}),
        ("split", {u.split for u in utterances} - {None}),
    ):
        parts += [many(len(values), what)] if values else []
    kept = [name for name in ("ratings", "words") if any(getattr(u, name) for u in utterances)]
    with_extras = f"; kept beside: {' and '.join(kept).replace('words', 'times of words')}" if kept else ""
    return Finding("ok", ", ".join(parts) + with_extras)


def _rejected(rejected: Sequence[Rejected]) -> list[Finding]:
    if not rejected:
        return []
    examples = "".join(f"\n{r.id}: {r.reason}" for r in rejected[:SHOWN])
    more = f"\n... and {len(rejected) - SHOWN} more" if len(rejected) > SHOWN else ""
    advice = "they are quarantined and counted in the report; put them right if there are many"
    return [
        Finding(
            "warning", f"{many(len(rejected), 'entry', 'entries')} cannot be used:{examples}{more}", advice
        )
    ]


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
    topic.findings += _incomplete(utterances, published, wanted)
    for title, counts in zip(titles, published, strict=True):
        topic.findings.append(_agreement(utterances, counts, title, wanted))
        if counts.groups:
            topic.tables.append(_by_group(utterances, counts))
            topic.findings += _missing_groups(utterances, counts)
    return topic


def _incomplete(
    utterances: Sequence[Utterance], published: Sequence[Published], wanted: Collection[str]
) -> list[Finding]:
    """A known corpus of which a part is missing."""
    shares = [(share_here(utterances, counts, wanted), counts) for counts in published if counts.holds]
    if not shares:
        return []
    share, nearest = max(shares, key=lambda pair: pair[0])
    if share >= COMPLETE:
        return []
    text = f"{percent(share)} % of {nearest.title} is here: {many(len(utterances), 'utterance')}"
    advice = "copy the rest, or take no result for one on this corpus: it compares with no published number"
    return [Finding("warning", text, advice)]


def _agreement(
    utterances: Sequence[Utterance], published: Published, title: str, wanted: Collection[str]
) -> Finding:
    off = [key for key, n in published.counts.items() if counted(utterances, key) != n]
    parts = [
        name
        for name, counts in published.groups.items()
        if any(counted(published.group(utterances, name), key) != n for key, n in counts.items())
    ]
    if not off and not parts:
        return Finding("ok", f"{title}: {published.title}; every count agrees")
    if not off:
        text = f"the whole agrees, but not by {published.by} ({', '.join(parts)})"
        advice = f"results do not compare with those on the published {published.by}s"
        return Finding("note", f"{title}: {published.title}; {text}", advice)
    text = f"{title}: {published.title}; {len(off)} of {len(published.counts)} counts differ"
    own = [key for key in published.counts if set(key.split("+")) <= set(wanted)]
    if own and not set(own) & set(off):
        return Finding("ok", f"{text}, none of them of this task's classes")
    return Finding("note", text)


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


def _modality(modality: str, utterances: Sequence[Utterance], due: bool) -> list[Finding]:
    """What has a modality; `due`: the published corpus has it."""
    name = NAMES[modality]
    lacking = [u for u in utterances if u.source(modality) is None]
    if not lacking:
        return [Finding("ok", f"{name}: all utterances")]
    if len(lacking) == len(utterances) and due:
        advice = "copy its files, or read no result without them as one on this corpus; conditions print '-'"
        return [Finding("warning", f"{name}: none at all, where the published corpus has it", advice)]
    if len(lacking) == len(utterances):
        advice = "fine if this corpus has none; conditions that need it print '-'"
        return [Finding("note", f"{name}: none at all", advice)]
    text = f"{name}: {len(utterances) - len(lacking)} of {len(utterances)} utterances"
    whole = _whole_dialogues(modality, utterances)
    examples = whole[:SHOWN] or [u.id for u in lacking[:SHOWN]]
    what = many(len(whole), "whole dialogue") if whole else many(len(lacking), "utterance")
    dots = ", ..." if (len(whole) or len(lacking)) > SHOWN else ""
    advice = "counted as naturally missing; copy the files if the corpus has them"
    return [Finding("warning", f"{text}; it is missing from {what} ({', '.join(examples)}{dots})", advice)]


def _whole_dialogues(modality: str, utterances: Sequence[Utterance]) -> list[str]:
    having: dict[str, int] = defaultdict(int)
    for u in utterances:
        if u.dialogue:
            having[u.dialogue] += u.source(modality) is not None
    return sorted(dialogue for dialogue, n in having.items() if not n)


def _written_otherwise(left_out: Mapping[str, int], wanted: Collection[str]) -> list[Finding]:
    """A warning about labels that are left out, and are those of a class but for case, blanks and the like."""
    known = {plain(name): name for name in wanted}
    meant = {name: known[plain(name)] for name in left_out if plain(name) in known}
    if not meant:
        return []
    told = listed([f"{name!r} ({left_out[name]})" for name in meant])
    advice = "write the labels alike, or set merge: " + ", ".join(f"{n}: {c}" for n, c in meant.items())
    return [Finding("warning", f"left out, though perhaps of a class: {told}", advice)]


def _task(
    utterances: Sequence[Utterance], dataset: Dataset
) -> tuple[list[Utterance], list[Fold], list[Finding]]:
    """What the task keeps (all, where it cannot be made), its folds (none, where they cannot), and what to say."""
    kept, folds = list(utterances), list[Fold]()
    findings = []
    try:
        kept, selection = select_labels(utterances, dataset.classes, dataset.merge, dataset.unlabelled)
        findings.append(Finding("ok", str(selection)))
        findings += _written_otherwise(selection.dropped, {*dataset.classes, *dataset.merge})
        folds = split(kept, dataset.folds, dataset.n_folds, classes=dataset.classes)
    except UserError as error:
        return kept, folds, [*findings, Finding("problem", str(error))]
    smallest, largest = (f(len(fold.test) for fold in folds) for f in (min, max))
    sizes = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    text = f"{describe_rule(kept, folds, dataset.folds)} Test parts of {sizes} utterances."
    return kept, folds, [*findings, Finding("ok", text)]
