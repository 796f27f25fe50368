"""From a take to how it sounds and looks: the voice, and the expression at every video frame."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cmarr.corpora.demo.articulation import FRAME_RATE, Tracks, articulate
from cmarr.corpora.demo.content import Speaker, Take
from cmarr.corpora.demo.face import Expression
from cmarr.corpora.demo.speech import Voice

FRAMES_PER_SECOND = 25


def tracks(take: Take) -> Tracks:
    """What the mouth does: the pace is in the speed and in the pauses."""
    pace = np.clip(take.pace, -2, 2)
    return articulate(take.text, tempo=2.0 * 2 ** (0.25 * pace), pause=0.09 * 2 ** (-0.8 * pace))


def voice(take: Take) -> Voice:
    """Arousal is loud, high and lively; reach is projected, its lack breathy; doubt is thin and rises."""
    arousal, valence = take.affect["s"]
    reach, doubt = np.clip([take.reach, take.doubt], -2.2, 2.2)
    pitch, tract = _throat(take.speaker)
    return Voice(
        pitch=pitch * 2 ** ((1.6 * arousal + 1.0 * doubt) / 12),
        pitch_range=float(np.clip(2.5 + 1.2 * arousal, 0.5, 6)),
        final=-3.0 + 3.5 * doubt,
        tract=tract * (1 + 0.02 * valence),
        level=3.2 * arousal,
        tilt=-5.0 + 1.0 * arousal + 1.6 * reach,
        breath=-20.0 - 6.0 * reach,
        chest=-4.0 * doubt,
        room=-66.0,
    )


def expressions(take: Take, track: Tracks, rng: np.random.Generator) -> list[Expression]:
    """Valence is in mouth and brows; reach opens the mouth; pace the eyes; doubt tilts the head."""
    arousal, valence = take.affect["v"]
    pace, reach, doubt = np.clip([take.pace, take.reach, take.doubt], -2.2, 2.2)
    count = max(1, int(track.seconds * FRAMES_PER_SECOND))
    at = ((np.arange(count) + 0.5) / FRAMES_PER_SECOND * FRAME_RATE).astype(int)
    liveliness = 0.5 * 2 ** (0.5 * pace + 0.2 * arousal)

    def wander(size: float) -> np.ndarray:
        slow = gaussian_filter1d(rng.standard_normal(count + 20), 6, mode="reflect")[10:-10]
        return size * 3.5 * slow

    blink = np.zeros(count)
    blink[np.flatnonzero(rng.random(count) < 0.012)] = 1
    blink = np.minimum(gaussian_filter1d(blink, 1.0, mode="constant") * 2.6, 1)
    smile = np.clip(0.42 * valence, -1, 1) + wander(0.04)
    frown = np.clip(-0.35 * valence - 0.1 * doubt, -0.9, 0.9) + wander(0.05)
    lids = np.clip(0.85 + 0.22 * pace + 0.08 * arousal, 0.35, 1.25) * (1 - 0.9 * blink)
    opening = np.clip(track.opening[at] * 2 ** (0.5 * reach + 0.25 * arousal) * 0.75, 0, 1.2)
    roll = np.clip(3.5 * doubt, -7, 7) + wander(0.8 * liveliness)
    yaw = wander(0.3 * liveliness) + 0.95 * pace
    pitch = wander(0.25 * liveliness) + 1.0 * reach + 0.6 * track.accent[at]
    sway = np.stack([wander(1.6 * liveliness), wander(1.0 * liveliness)], 1)
    spread = np.clip(track.spread[at] + 0.1 * valence, -1, 1.2)
    return [
        Expression(
            float(opening[i]), float(spread[i]), float(smile[i]), float(frown[i]), float(lids[i]),
            float(roll[i]), float(yaw[i]), float(pitch[i]), (float(sway[i, 0]), float(sway[i, 1])),
        )
        for i in range(count)
    ]  # fmt: skip


def _throat(speaker: Speaker) -> tuple[float, float]:
    """Pitch in Hz and formant factor of a speaker at rest."""
    rng = np.random.default_rng([*speaker.seed, 3])
    pitch, tract = (190.0, 1.10) if speaker.sex == "f" else (118.0, 1.0)
    return pitch * 2 ** float(rng.uniform(-1.5, 1.5) / 12), tract * float(rng.uniform(0.97, 1.03))
