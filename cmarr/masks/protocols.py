"""The protocols a trained model is evaluated under, by name."""

from cmarr.modalities import NAMES

FIXED = "fixed"
"""The seven conditions, each for every utterance."""

UNSEEN = "unseen"
"""The fixed conditions that a method was never trained on; answers are those of `FIXED`."""

CELLS = ("rate", "unbalanced", "by_speaker", "by_class")
"""Whole modalities of single utterances are hidden."""

STEPS = ("frames", "bursts")
"""Single frames and tokens are dropped."""

UNBALANCED = {m: f"unbalanced_{name}" for m, name in NAMES.items()}
"""Modality that is missing most often -> name of the mask set: `unbalanced` is one set a modality."""

DAMAGE = ("noise", "word_errors", "dark", "blur", "occlusion")
"""The raw signal is damaged before extraction; no masks, features of their own."""

CHOICES = (FIXED, *CELLS, *STEPS, UNSEEN, *DAMAGE)
"""What `protocols` of params.yaml may name."""

MASKED = ("rate", *UNBALANCED.values(), "by_speaker", "by_class", *STEPS)
"""Protocols with a saved mask set."""

ANSWERED = (FIXED, *MASKED, *DAMAGE)
"""What the column `protocol` of a predictions file may say."""

DICMOR = {
    0.0: (0.0, 0.0),
    0.1: (0.1, 0.1),
    0.2: (0.2, 0.2),
    0.3: (0.3, 0.3),
    0.4: (0.5, 0.2),
    0.5: (0.7, 0.1),
    0.6: (0.9, 0.0),
    0.7: (1.0, 0.0),
}
"""Missing rate -> shares of the batches that lose all but one modality, and one modality (DiCMoR, IMDer)."""
