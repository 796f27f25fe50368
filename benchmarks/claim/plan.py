"""What docs/claim.md has decided, as data: which corpora tune, which confirm, who is compared."""

from benchmarks.claim.corpora import Corpus

TUNING = tuple(Corpus(f"demo-{seed}", "demo", (("seed", seed),)) for seed in (0, 11, 12))
"""Everything was chosen on these."""

SEEN = (0, 1, 3, 11, 12, 21, 22, 23)
"""Generator seeds that somebody has looked at."""


def _generated(seed: int, utterances: int, sessions: int) -> Corpus:
    options = (("seed", seed), ("sessions", sessions), ("utterances", utterances))
    return Corpus(f"{utterances}-{seed}", "demo", options, "speaker", (1,))


CONFIRMING = {
    "240": tuple(Corpus(f"240-{seed}", "demo", (("seed", seed),)) for seed in (41, 42, 43, 44, 45)),
    "1440": tuple(_generated(seed, 1440, 15) for seed in (51, 52, 53, 54, 55)),
    "5000": tuple(_generated(seed, 5000, 25) for seed in (61, 62, 63, 64, 65)),
    "mosi": (Corpus("mosi", "mosi"),),
}
"""Size -> its corpora."""

OURS = "anchored"
METHODS = (
    "gaussian",
    "recovered",
    "linear",
    "late",
    "anchored",
    "masked",
    "anchored_masked",
    "cmarr",
    "gbdt",
    "dicmor",
    "mmin",
    "if_mmin",
    "cif_mmin",
    "cra",
    "mcur",
    "primd",
    "cyin",
    "cmad",
    "gcnet",
    "momke",
    "imder",
)
"""In the order in which they are run; names of ablations in params.yaml among them."""

DETERMINISTIC = ("gaussian", "recovered", "linear", "late")
"""Fitted in closed form: every seed gives the same model."""

SEEDS = (0, 1, 2, 3, 4)

FIELD_CLAIMS = (
    *(("cmarr", other, "Table 2 of CM-ARR") for other in ("cra", "mmin", "if_mmin", "cif_mmin", "dicmor")),
    ("primd", "momke", "the printed averages over IEMOCAP's four classes"),
    ("momke", "gcnet", "the printed averages over IEMOCAP's four classes"),
    ("primd", "gcnet", "the printed averages over IEMOCAP's four classes"),
    ("cyin", "imder", "CyIN's rerun on CMU-MOSI"),
)
"""(the method printed to be ahead, the method behind it, where): what is asked of every size again."""
