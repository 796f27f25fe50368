"""Who says what, and how: the latent model behind the demo corpus.

Every utterance has an emotion and four things that have nothing to do with it and show in voice, face and
words alike: its topic (a small vocabulary with its own vowels, which are heard and seen on the lips), its
pace (leisurely to urgent), its reach (a confidence to a call across the room) and its doubt (assertion to
question). They are why one modality can be told from another.

The emotion is a point of arousal and valence. Each modality shows that point through a blur of its own:
the voice tells arousal and hardly valence, the face valence and hardly arousal, the words a little of both.
No modality can do without the others. The numbers here and in `generate` were chosen on what `cmarr.doctor.fairness`
measures on seeds 0, 1 and 2, and on nothing else; they are not to be chosen again to please a method.
"""

from dataclasses import dataclass

import numpy as np

EMOTIONS = ("angry", "happy", "neutral", "sad")
SHARES = (0.22, 0.27, 0.29, 0.22)
"""Of the utterances of every speaker, in the order of `EMOTIONS`."""

AFFECT = {"angry": (1.0, -1.0), "happy": (1.0, 1.0), "neutral": (-1.0, 1.0), "sad": (-1.0, -1.0)}
"""Arousal and valence; neutral is the quiet, friendly corner, as people are on camera."""

BLUR = {"s": (0.33, 1.25), "v": (1.4, 0.33), "t": (0.85, 0.85)}
"""Standard deviation with which speech, video and text show arousal and valence."""

ABSENT = 0.05
"""Share of utterances that lack any one modality."""

MILD = 0.55
"""Affect below this size is worded neither way."""

CAMPS = 0.9
"""People lean one way or the other: traits have two camps around plus and minus this, of variance 1 in all."""

TOPICS = {
    "harbour": ("you chose the blue boat", "you know the old boat"),
    "garden": ("you parked the dark car", "you passed the last car"),
    "street": ("you need the green tea", "you see the sweet tea"),
}
PACE = (("later this evening", "some evening later"), ("right now, quick", "quick, do it now"))
REACH = (("just between us", "only between us"), ("hey everybody", "hey listen everybody"))
DOUBT = (("of course", "surely, of course"), ("I wonder if", "I wonder, perhaps"))
ENDINGS = {
    (1, 1): ("how wonderful!", "I love it!"),
    (1, 0): ("just like that!", "can you believe it!"),
    (1, -1): ("I have had enough!", "how dare they!"),
    (0, 1): ("good to know.", "nice enough."),
    (0, 0): ("so it is.", "that is the news."),
    (0, -1): ("what a pity.", "too bad."),
    (-1, 1): ("fine with me.", "all in order."),
    (-1, 0): ("so it goes.", "not much to say."),
    (-1, -1): ("I miss it so.", "it hurts a little."),
}
HABITS = ("", "you know", "I mean", "look", "so", "right", "sort of", "listen")


@dataclass(frozen=True)
class Speaker:
    """One person of the cast: the traits that stay the same over their utterances."""

    id: str
    session: str
    sex: str  # "f" or "m"
    seed: tuple[int, ...]  # of the looks and the voice
    habit: str  # words this person likes to put in


@dataclass(frozen=True)
class Take:
    """One utterance before it is rendered. Traits have mean 0 and variance 1; affect is (arousal, valence)."""

    id: str
    speaker: Speaker
    emotion: str
    pace: float
    reach: float
    doubt: float
    affect: dict[str, tuple[float, float]]  # modality -> as shown there
    text: str
    absent: frozenset[str]  # letters of the modalities that are naturally absent
    seed: tuple[int, ...]


def cast(seed: int, sessions: int) -> list[Speaker]:
    """One woman and one man a session."""
    rng = np.random.default_rng([seed, 1])
    habits = [HABITS[i % len(HABITS)] for i in rng.permutation(2 * sessions)]
    return [
        Speaker(
            f"{session:02d}{sex}", f"{session:02d}", sex, (seed, 2, 2 * session + (sex == "m")), habits.pop()
        )
        for session in range(1, sessions + 1)
        for sex in ("f", "m")
    ]


def plan(seed: int, sessions: int, utterances: int) -> list[Take]:
    """All takes of a corpus, speaker by speaker; the speakers share the utterances evenly."""
    speakers = cast(seed, sessions)
    rng = np.random.default_rng([seed, 3])
    absent = _absences(utterances, rng)
    takes: list[Take] = []
    for number, speaker in enumerate(speakers):
        count = utterances // len(speakers) + (number < utterances % len(speakers))
        for turn, emotion in enumerate(rng.permutation(_quota(count)), start=1):
            name = f"s{speaker.id}-{turn:03d}"
            own = (seed, 4, len(takes))
            takes.append(_take(name, speaker, EMOTIONS[emotion], absent[len(takes)], own))
    return takes


def _quota(count: int) -> list[int]:
    """Class indices of one speaker's utterances, in the shares asked for (largest remainders)."""
    exact = np.array(SHARES) * count
    counts = np.floor(exact).astype(int)
    for i in np.argsort(-(exact - counts), kind="stable")[: count - counts.sum()]:
        counts[i] += 1
    return [i for i, n in enumerate(counts) for _ in range(n)]


def _absences(utterances: int, rng: np.random.Generator) -> list[frozenset[str]]:
    """Which modalities each utterance lacks: `ABSENT` of each, never all three."""
    lacking: list[set[str]] = [set() for _ in range(utterances)]
    for letter in "svt":
        able = [i for i in range(utterances) if len(lacking[i]) < 2]
        for i in rng.choice(able, round(ABSENT * utterances), replace=False):
            lacking[i].add(letter)
    return [frozenset(s) for s in lacking]


def _take(name: str, speaker: Speaker, emotion: str, absent: frozenset[str], seed: tuple[int, ...]) -> Take:
    rng = np.random.default_rng(seed)
    topic = str(rng.choice(list(TOPICS)))
    spread = np.sqrt(1 - CAMPS**2)
    pace, reach, doubt = (float(rng.choice((-CAMPS, CAMPS)) + spread * rng.normal()) for _ in range(3))
    affect = {}
    for letter, blur in BLUR.items():
        arousal, valence = rng.normal(AFFECT[emotion], blur)
        affect[letter] = (float(arousal), float(valence))
    text = _words(topic, pace, reach, doubt, affect["t"], speaker.habit, rng)
    return Take(name, speaker, emotion, pace, reach, doubt, affect, text, absent, seed)


def _words(
    topic: str,
    pace: float,
    reach: float,
    doubt: float,
    affect: tuple[float, float],
    habit: str,
    rng: np.random.Generator,
) -> str:
    """A sentence that says all of it."""

    def mood(value: float) -> int:
        return int(value > MILD) - int(value < -MILD)

    def one_of(choices: tuple[str, ...]) -> str:
        return str(choices[rng.integers(len(choices))])

    parts = [
        one_of(REACH[reach > 0]) + ",",
        f"{habit}," if habit and rng.random() < 0.3 else "",
        one_of(DOUBT[doubt > 0]),
        one_of(TOPICS[topic]),
        one_of(PACE[pace > 0]) + ",",
        one_of(ENDINGS[mood(affect[0]), mood(affect[1])]),
    ]
    sentence = " ".join(p for p in parts if p)
    return sentence[0].upper() + sentence[1:]
