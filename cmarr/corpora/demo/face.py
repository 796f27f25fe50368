"""A drawn face: shaded enough for the ordinary face detector, and moved by the articulation tracks.

The head is drawn once a speaker on a canvas of twice the frame's size; each frame adds eyes, brows and
mouth for that moment and is turned, shifted and laid over the room.
"""

from dataclasses import dataclass

import numpy as np

from cmarr.extras import extra

with extra("media"):
    import cv2

SIZE = 160
"""Width and height of a frame in pixels."""
CANVAS = 2 * SIZE
CENTRE = (CANVAS // 2, CANVAS // 2)

SKINS = ((196, 160, 134), (222, 184, 155), (168, 126, 96), (234, 200, 176), (140, 100, 76), (210, 170, 140))
HAIRS = ((40, 28, 22), (24, 22, 24), (86, 56, 34), (122, 88, 50), (100, 56, 34), (70, 66, 64))
"""Darkest first: dark skin goes with one of the first two."""
SHIRTS = ((60, 84, 120), (120, 62, 60), (70, 104, 80), (96, 88, 112), (50, 52, 58), (150, 130, 96))
Colour = tuple[int, ...]


@dataclass(frozen=True)
class Looks:
    """What a person looks like. Lengths in canvas pixels."""

    skin: Colour
    hair: Colour
    shirt: Colour
    wall: Colour
    long_hair: bool
    width: float  # half width of the head
    height: float  # half height of the head
    eyes: float  # half distance between the eyes
    brow: float  # thickness of the brows
    mouth: float  # half width of the mouth at rest
    lips: Colour


@dataclass(frozen=True)
class Expression:
    """A face at one moment."""

    opening: float  # of the mouth, 0 to 1
    spread: float  # of the lips, -1 rounded to 1
    smile: float  # -1 corners down to 1 up
    frown: float  # -1 brows high to 1 drawn down
    lids: float  # openness of the eyes, 0 shut to 1.4 wide
    roll: float  # degrees, head tilt
    yaw: float  # -1 to 1
    pitch: float  # -1 down to 1 up
    shift: tuple[float, float]  # of the head, in frame pixels


def looks(seed: tuple[int, ...], sex: str, wall: Colour) -> Looks:
    """The looks of a speaker."""
    rng = np.random.default_rng([*seed, 1])
    skin = SKINS[rng.integers(len(SKINS))]
    red = (min(skin[0] - 2, 255), int(skin[1] * 0.62), int(skin[2] * 0.62))
    woman = sex == "f"
    hairs = HAIRS if sum(skin) > 450 else HAIRS[:2]
    return Looks(
        skin=skin,
        hair=hairs[rng.integers(len(hairs))],
        shirt=SHIRTS[rng.integers(len(SHIRTS))],
        wall=wall,
        long_hair=woman,
        width=float(rng.uniform(73, 76) - woman),
        height=float(rng.uniform(97, 101) - woman),
        eyes=float(rng.uniform(31, 34)),
        brow=float(rng.uniform(5, 6.5) - woman),
        mouth=float(rng.uniform(25, 29)),
        lips=red if woman else tuple(int(0.5 * a + 0.5 * b) for a, b in zip(red, skin, strict=True)),
    )


def wall(seed: tuple[int, ...]) -> Colour:
    """Colour of the room of a session."""
    rng = np.random.default_rng([*seed, 2])
    base = rng.integers(120, 190)
    return tuple(int(base + d) for d in rng.integers(-18, 18, size=3))


class Portrait:
    """Draws one person; `frame` is a pure function of the expression."""

    def __init__(self, looks: Looks, facing: bool = True) -> None:
        self.looks = looks
        self.facing = facing
        self.room = _room(looks.wall)
        self.head = _head(looks, facing)
        self.relief = _relief(looks)

    def frame(self, e: Expression) -> np.ndarray:
        """One RGB frame (SIZE, SIZE, 3) uint8."""
        canvas = self.head.copy()
        if self.facing:
            _emboss(canvas, self.relief, e)
            _eyes(canvas, self.looks, e)
            _mouth(canvas, self.looks, e)
        turn = np.array(cv2.getRotationMatrix2D((CENTRE[0], CENTRE[1] + 110), e.roll, 1.0), np.float64)
        turn[:, 2] += 2 * np.array(e.shift) - 0.5  # so that pixel centres stay centres on the frame
        turn *= 0.5
        small = cv2.warpAffine(canvas, turn, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.cvtColor(small[..., 3], cv2.COLOR_GRAY2RGB).astype(np.uint16)
        mixed = np.asarray(small[..., :3] * weight, np.uint16)
        mixed += self.room * (255 - weight)
        mixed += 128  # the nearest whole number to a 255th, without a division
        mixed += mixed >> 8
        mixed >>= 8
        return np.asarray(mixed, np.uint8)


def _room(colour: Colour) -> np.ndarray:
    light = np.linspace(1.08, 0.82, SIZE)[:, None, None] * np.linspace(1.04, 0.94, SIZE)[None, :, None]
    return np.clip(np.array(colour) * light, 0, 255).astype(np.uint16)


def _ellipse(
    image: np.ndarray, x: float, y: float, w: float, h: float, colour: Colour, turn: float = 0
) -> None:
    """A filled ellipse with smooth edges at sub-pixel places."""
    box = ((round(x * 16), round(y * 16)), (round(w * 16), round(h * 16)))
    cv2.ellipse(image, box[0], box[1], turn, 0, 360, colour, -1, cv2.LINE_AA, 4)


def _shade(
    image: np.ndarray, spots: list[tuple[float, float, float, float, float]], blur: float
) -> np.ndarray:
    """Multiply soft elliptic spots (x, y, w, h, gain) into an image."""
    gain = np.full(image.shape[:2], 1.0, np.float32)
    for x, y, w, h, factor in spots:
        spot = np.zeros(image.shape[:2], np.uint8)
        _ellipse(spot, x, y, w, h, 255)  # type: ignore[arg-type]
        gain *= 1 + (factor - 1) * cv2.GaussianBlur(spot, (0, 0), blur).astype(np.float32) / 255
    return np.clip(image * gain[..., None], 0, 255).astype(np.uint8)


def _head(looks: Looks, facing: bool) -> np.ndarray:
    """The head without eyes, nose, brows and mouth: colours and opacity (CANVAS, CANVAS, 4)."""
    x, y = CENTRE
    w, h = looks.width, looks.height
    image = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    image[:] = looks.shirt
    alpha = np.zeros((CANVAS, CANVAS), np.uint8)
    parts: list[tuple[float, float, float, float, Colour]] = []
    if looks.long_hair:
        parts.append((x, y + 10, w + 11, h + 12, looks.hair))
        parts.append((x, y + 64, w + 9, h * 0.72, looks.hair))
    neck = tuple(int(0.72 * c) for c in looks.skin)
    parts.append((x, y + h + 82, 118, 62, looks.shirt))
    parts.append((x, y + h + 4, w * 0.52, 42, neck))
    parts.append((x - w, y + 8, 9, 19, looks.skin))
    parts.append((x + w, y + 8, 9, 19, looks.skin))
    parts.append((x, y - 16, w + 7, h + 4, looks.hair))
    parts.append((x, y, w, h, looks.skin if facing else looks.hair))
    for part in parts:
        _ellipse(image, *part)
        _ellipse(alpha, *part[:4], 255)  # type: ignore[arg-type]
    if not facing:
        return np.dstack(
            [_shade(image, [(x - 25, y - 50, 40, 30, 1.35), (x, y + 90, 70, 30, 0.7)], 18), alpha]
        )
    cv2.ellipse(
        image, (x, int(y - h * 0.98)), (int(w * 0.92), int(h * 0.42)), 0, 0, 360, looks.hair, -1, cv2.LINE_AA
    )
    image = _shade(
        image,
        [
            (x, y + h, w, 26, 0.75),  # under the chin
            (x + w, y + 20, 26, h, 0.74),  # the side away from the light
            (x - w, y + 20, 14, h, 0.88),
            (x, y - 44, 50, 20, 1.10),  # forehead
            (x - 40, y + 30, 24, 20, 1.16),  # cheeks
            (x + 40, y + 30, 24, 20, 1.13),
            (x, y + h - 20, 18, 10, 1.08),  # chin
        ],
        14,
    )
    return np.dstack([image, alpha])


RELIEF = 84
"""Half width and half height of the patch of light and shadow around the nose."""


def _relief(looks: Looks) -> np.ndarray:
    """Light and shadow of eye sockets and nose around the middle of the eyes, as a gain in 128ths; none of opacity."""
    flat = np.full((2 * RELIEF, 2 * RELIEF), 128, np.uint8)
    x = y = RELIEF
    for side in (-1, 1):
        _ellipse(flat, x + side * looks.eyes, y - 3, 23, 17, 66)  # type: ignore[arg-type]
    _ellipse(flat, x, y + 16, 7, 36, 150)  # type: ignore[arg-type]
    _ellipse(flat, x, y + 46, 14, 9, 150)  # type: ignore[arg-type]
    flat[:] = cv2.GaussianBlur(flat, (0, 0), 4.5)
    for side in (-1, 1):
        _ellipse(flat, x + side * 8, y + 53, 4, 2.6, 62)  # type: ignore[arg-type]
    return np.dstack([flat] * 3 + [np.full_like(flat, 128)]).astype(np.uint16)


def _emboss(image: np.ndarray, relief: np.ndarray, e: Expression) -> None:
    """Lay the relief of the face onto the head, moved by its turn."""
    top, left = round(CENTRE[1] - 14 - 6 * e.pitch) - RELIEF, round(CENTRE[0] + 7 * e.yaw) - RELIEF
    region = image[top : top + 2 * RELIEF, left : left + 2 * RELIEF]
    lit = region * relief
    halves = (lit >> 7) & 1  # to even, as OpenCV rounds
    lit += 63
    lit += halves
    lit >>= 7
    region[:] = np.minimum(lit, 255)


def _eyes(image: np.ndarray, looks: Looks, e: Expression) -> None:
    """Eyes and brows, which move with the head's turn against its outline."""
    x = CENTRE[0] + 7 * e.yaw
    y = CENTRE[1] - 14 - 6 * e.pitch
    white = (*(int(100 + 0.42 * c) for c in looks.skin), 255)  # in the shadow of the brows, not bright
    for side in (-1, 1):
        centre = x + side * looks.eyes
        open_ = max(1.0, 7.0 * e.lids)
        _ellipse(image, centre, y, 15, open_ + 1.5, (34, 24, 22, 255))
        _ellipse(image, centre, y, 14, open_, white)
        if open_ > 2:
            iris = min(8.0, open_ + 0.5)
            _ellipse(image, centre + 2 * e.yaw, y, 8, iris, (66, 48, 38, 255))
            _ellipse(image, centre + 2 * e.yaw, y, 3.4, min(3.6, iris), (12, 10, 12, 255))
            _ellipse(image, centre + 2 * e.yaw - 2, y - 2, 1.3, 1.3, (240, 240, 240, 255))
        inner, outer = y - 22 + 8 * e.frown, y - 20 - 1.5 * e.frown
        points = [
            (centre - side * 19, inner),
            (centre + side * 2, (inner + outer) / 2 - 4),
            (centre + side * 21, outer),
        ]
        curve = np.array([[round(a * 16), round(b * 16)] for a, b in points], np.int32)
        cv2.polylines(image, [curve], False, (*looks.hair, 255), max(1, round(looks.brow)), cv2.LINE_AA, 4)


def _mouth(image: np.ndarray, looks: Looks, e: Expression) -> None:
    x = CENTRE[0] + 6 * e.yaw
    y = CENTRE[1] + 56 - 5 * e.pitch
    half = looks.mouth * (1 + 0.36 * e.spread + 0.10 * max(e.smile, 0))
    gap = 26 * e.opening
    lift = 11 * e.smile
    t = np.linspace(-1, 1, 13)
    middle = y - lift * (t**2 - 0.35)
    arch = 1 - t**2
    upper, lower = middle - 0.35 * gap * arch, middle + 0.65 * gap * arch

    def polygon(top: np.ndarray, bottom: np.ndarray, colour: Colour) -> None:
        across = x + half * t
        points = np.concatenate([np.stack([across, top], 1), np.stack([across, bottom], 1)[::-1]])
        cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)

    thick = 5 * (1 - 0.4 * e.spread)
    polygon(upper - thick * arch**0.5, lower + 1.3 * thick * arch**0.5, (*looks.lips, 255))
    polygon(upper - 0.8, lower + 0.8, (58, 24, 26, 255))
    if gap > 5:
        polygon(upper, upper + np.minimum(0.35 * gap, 5) * arch, (226, 220, 210, 255))
