"""Read the corpus into a manifest: one row an utterance, whatever the corpus."""

from collections import Counter

from cmarr.corpora.expected import beside
from cmarr.corpora.inventory import unnamed_media
from cmarr.corpora.labels import select_labels
from cmarr.corpora.manifest import relative_to, write_manifest, write_quarantine
from cmarr.corpora.registry import corpus_published, read_corpus
from cmarr.modalities import MODALITIES, NAMES
from stages.paths import Paths, corpus_root, media_root
from stages.stage import run


def main(dataset: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings("prepare")
    root = corpus_root(settings["root"])
    utterances, rejected = read_corpus(settings["kind"], root, dataset=dataset, **settings["options"])
    kept, selection = select_labels(
        utterances, settings["classes"], settings["merge"], settings["unlabelled"]
    )
    write_quarantine(paths.quarantine, rejected)
    write_manifest(paths.manifest, relative_to(kept, media_root(root)))
    print(f"{dataset}: {selection}")
    for published in corpus_published(
        settings["kind"], root, utterances, dataset=dataset, **settings["options"]
    ):
        print(f"  found of {beside(utterances, published)}")
    for reason, count in Counter(r.reason for r in rejected).most_common():
        print(f"  quarantined {count}: {reason} (listed in {paths.quarantine})")
    if settings["features"] == "encoders":
        for ending, names in unnamed_media(root, utterances, rejected).items():
            print(f"  passed over {len(names)} {ending} of no utterance, as {names[0]}")
        absent = {m: sum(u.source(m) is None for u in kept) for m in MODALITIES}
        print("  naturally absent: " + ", ".join(f"{NAMES[m]} {n}" for m, n in absent.items()))


if __name__ == "__main__":
    run(main)
