"""Which face detector finds how many faces, and how long a frame takes: `python -m benchmarks.faces FERPLUS`.

FERPLUS is a folder with FER+. Its test faces are worn by people who sit and sway in rooms full of things: 640 x 480,
ten frames a second, one thread, its processor time. A frame counts as found if the box that the follower chose lies on
the person whom it follows; a jump is a box on somebody else. `--clips FOLDER` adds three frames each of up to 30
recordings, such as the demo's (data/demo/corpus), of which any face counts. `--sheet FILE` draws what was found.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from benchmarks.machine import machine
from benchmarks.records import keep
from cmarr.media.clips import Clip
from cmarr.media.detectors import SEARCH, Box, build_detector
from cmarr.media.faces import Follower, overlap
from cmarr.media.mtcnn import Mtcnn
from cmarr.media.video import read_frames
from cmarr.report.table import markdown_table
from denseface.ferplus import read_part

HEIGHT, WIDTH, RATE, FRAMES, CLIPS = 480, 640, 10.0, 20, 33
HIT = 0.3
"""Intersection over union with the true box from which on a face is found."""


@dataclass(frozen=True)
class Scene:
    """A set of clips: pixels a face is high, how far it is turned (see `turned`), degrees it is tilted, people."""

    name: str
    size: tuple[float, float]
    turn: tuple[float, float]
    tilt: float
    people: int
    hides: bool = False


SCENES = (
    Scene("two people, 55 to 75 pixels", (55, 75), (0, 9), 25, 2),
    Scene("two people, in profile", (55, 75), (0.8, 1.8), 15, 2),
    Scene("two people, 24 to 30 pixels", (24, 30), (0, 9), 15, 2),
    Scene("four people, 40 to 60 pixels", (40, 60), (0, 9), 20, 4),
    Scene("two people, one looks away at times", (55, 75), (0, 9), 15, 2, hides=True),
)

Frame = tuple[float, np.ndarray, list[Box]]
"""Seconds, gray (H, W), the true boxes, the followed person's first (none where they are not known)."""


def clip(scene: Scene, faces: np.ndarray, seed: int) -> Iterator[Frame]:
    """People who sit and sway; the first is a little nearer to the camera."""
    draw = np.random.default_rng(seed)
    room = _room(draw)
    step = WIDTH / scene.people
    people = []
    for number in draw.permutation(scene.people):
        people.append(
            {
                "face": faces[draw.integers(len(faces))],
                "size": draw.uniform(*scene.size) * (1.0 if not people else 0.85),
                "x": step * (number + 0.5) + draw.uniform(-0.1, 0.1) * step,
                "y": draw.uniform(0.3, 0.5) * HEIGHT,
                "tilt": draw.uniform(-1, 1) * scene.tilt,
                "phase": draw.uniform(0, 6, 3),
                "dress": draw.uniform(40, 220),
                "hair": draw.uniform(10, 110),
            }
        )
    for number in range(FRAMES):
        image, boxes = room.copy(), []
        for one in people:
            sway = np.sin(0.4 * number + one["phase"])
            x, y = one["x"] + 0.3 * one["size"] * sway[0], one["y"] + 0.1 * one["size"] * sway[1]
            hidden = scene.hides and not boxes and (number // 7) % 2 == 1
            box = _person(image, one, x, y, one["tilt"] + 5 * sway[2], hidden)
            boxes.append(box)
        image = cv2.GaussianBlur(image, (3, 3), 0) + draw.normal(0, 3, image.shape)
        yield number / RATE, np.clip(image, 0, 255).astype(np.uint8), boxes


def _room(draw: np.random.Generator) -> np.ndarray:
    """A wall with shelves, frames and lamps on it."""
    image = np.full((HEIGHT, WIDTH), draw.uniform(60, 200), np.float32)
    image += np.linspace(-30, 30, WIDTH, dtype=np.float32) * draw.uniform(-1, 1)
    for _ in range(40):
        x, y = int(draw.integers(WIDTH)), int(draw.integers(HEIGHT))
        size = draw.integers(8, 90, 2)
        gray = float(draw.uniform(0, 255))
        if draw.random() < 0.7:
            cv2.rectangle(
                image, (x, y), (x + int(size[0]), y + int(size[1])), gray, int(draw.choice([-1, 2, 5]))
            )
        else:
            cv2.circle(image, (x, y), int(size[0]) // 2, gray, int(draw.choice([-1, 3])))
    return image


def _person(image: np.ndarray, one: dict, x: float, y: float, tilt: float, hidden: bool) -> Box:
    size = one["size"]
    middle, down = (round(x), round(y)), round(y + 2.2 * size)
    cv2.ellipse(image, (middle[0], down), (round(1.3 * size), round(1.5 * size)), 0, 0, 360, one["dress"], -1)
    cv2.line(image, (middle[0], round(y + 0.7 * size)), (middle[0], HEIGHT), one["dress"] * 0.6, 3)
    cv2.rectangle(
        image, (round(x - 0.22 * size), round(y)), (round(x + 0.22 * size), round(y + 0.8 * size)), 130.0, -1
    )
    cv2.ellipse(
        image,
        (middle[0], round(y - 0.1 * size)),
        (round(0.62 * size), round(0.75 * size)),
        tilt,
        0,
        360,
        one["hair"],
        -1,
    )
    if hidden:
        return 0, 0, 0, 0
    side = round(1.15 * size)
    v, u = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    mask = np.clip((1 - u**4 - v**4) * 3, 0, 1).astype(np.float32)
    head = cv2.resize(
        one["face"], (side, side), interpolation=cv2.INTER_AREA if side < 48 else cv2.INTER_CUBIC
    )
    spin = cv2.getRotationMatrix2D((side / 2, side / 2), -tilt, 1.0)
    head = cv2.warpAffine(head.astype(np.float32), spin, (side, side), borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(mask, spin, (side, side))
    top, left = round(y - side / 2), round(x - side / 2)
    rows, columns = slice(max(top, 0), min(top + side, HEIGHT)), slice(max(left, 0), min(left + side, WIDTH))
    part = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    image[rows, columns] += mask[part] * (head[part] - image[rows, columns])
    return round(x - size / 2), round(y - size / 2), round(size), round(size)


def turned(faces: np.ndarray) -> np.ndarray:
    """How far each face (N, 48, 48) is turned: 0 from the front, 1 where the nose lies above an eye.

    As the third network of MTCNN places eyes and nose, whether or not it takes the face for one.
    """
    network = Mtcnn().networks["onet"]
    ready = (faces.swapaxes(1, 2).astype(np.float32) - 127.5) / 128
    points = []
    for first in range(0, len(ready), 64):
        network.setInput(np.repeat(ready[first : first + 64, ..., None], 3, axis=3))
        points.append(network.forward("dense_6"))  # (N, 10): five columns, five rows
    places = np.concatenate(points).reshape(-1, 2, 5)
    left, right, nose = places[:, :, 0], places[:, :, 1], places[:, :, 2]
    between = np.linalg.norm(right - left, axis=1)
    return np.abs(nose[:, 0] - (left[:, 0] + right[:, 0]) / 2) / between * 2


def measured(name: str, clips: Sequence[Sequence[Frame]]) -> tuple[dict[str, float], list[list[Box | None]]]:
    """Of the frames that show the followed person: how many were found; jumps, milliseconds a frame; and the boxes."""
    detector, search = build_detector(name), SEARCH[name]
    shown, found, jumps, spent, boxes = 0, 0, 0, [], []
    for one in clips:
        follower, chosen = Follower(detector, search=search), []
        for seconds, gray, _ in one:
            began = time.process_time()
            small, scale = search.reduced(gray)
            box = follower.find(seconds, small)
            spent.append(time.process_time() - began)
            chosen.append(box and tuple(round(value * scale) for value in box))
        target = _target(chosen, one)
        for box, (_, _, true) in zip(chosen, one, strict=True):
            on = [bool(box) and overlap(box, other) >= HIT for other in true] or [box is not None]
            shown += not true or true[target][2] > 0
            found += on[target]
            jumps += any(on) and not on[target]
        boxes.append(chosen)
    return {"frames": shown, "found": found, "jumps": jumps, "ms": 1000 * sum(spent) / len(spent)}, boxes


def _target(chosen: Sequence[Box | None], one: Sequence[Frame]) -> int:
    """The person whom the first box that lies on somebody lies on."""
    for box, (_, _, true) in zip(chosen, one, strict=True):
        for number, other in enumerate(true):
            if box and overlap(box, other) >= HIT:
                return number
    return 0


def recorded(folder: Path) -> list[list[Frame]]:
    """Three frames, each a clip of its own, of up to 30 recordings in a folder."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".mp4", ".avi", ".mkv", ".webm"))
    chosen = paths[:: max(len(paths) // 30, 1)][:30]
    clips = []
    for path in chosen:
        frames = [(t, gray, []) for _, t, gray in read_frames([Clip(str(path))], 5.0)]
        clips += [[frames[len(frames) * part // 4]] for part in (1, 2, 3)]
    return clips


def sheet(path: Path, clips: Sequence[Sequence[Frame]], boxes: Sequence[Sequence[Box | None]]) -> None:
    """The middle frame of every clip, the true boxes thin, what was followed thick."""
    tiles = []
    for one, chosen in zip(clips, boxes, strict=True):
        at = len(one) // 2
        _, gray, true = one[at]
        tile = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
        for left, top, width, height in true:
            cv2.rectangle(tile, (left, top), (left + width, top + height), (255, 160, 0), 1)
        if chosen[at]:
            left, top, width, height = chosen[at]
            cv2.rectangle(tile, (left, top), (left + width, top + height), (0, 0, 255), 3)
        tiles.append(cv2.resize(tile, (320, 240), interpolation=cv2.INTER_AREA))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 6)
    rows = [np.hstack(tiles[first : first + 6]) for first in range(0, len(tiles), 6)]
    cv2.imwrite(str(path), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--detectors", nargs="+", default=["haar", "mtcnn"])
    parser.add_argument("--number", type=int, default=CLIPS, help="clips a set")
    parser.add_argument("--keep", action="store_true", help="into benchmarks/results/, for docs/encoders.md")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    faces = read_part(asked.ferplus, "test").real().images
    turns = turned(faces)
    sets: dict[str, list[list[Frame]]] = {}
    for s in SCENES:
        own = faces[(turns >= s.turn[0]) & (turns < s.turn[1])]
        sets[s.name] = [list(clip(s, own, seed)) for seed in range(asked.number)]
    if asked.clips:
        sets["recordings, single frames"] = recorded(asked.clips)
    rows = []
    for title, clips in sets.items():
        for name in asked.detectors:
            numbers, boxes = measured(name, clips)
            rows.append({"scene": title, "detector": name} | numbers)
            if asked.sheet:
                place = asked.sheet.with_stem(f"{asked.sheet.stem}-{len(rows)}-{name}")
                sheet(place, clips, boxes)
    content = {"machine": machine(), "clips": asked.number, "result": rows}
    print(table(content))
    if asked.keep:
        keep("faces", content)


def table(content: Mapping[str, Any]) -> str:
    """Of what `main` keeps: a row a scene and detector."""
    rows = [
        {
            "frames": row["scene"],
            "detector": row["detector"],
            "looked at": row["frames"],
            "found, %": 100 * row["found"] / row["frames"],
            "elsewhere": row["jumps"],
            "ms a frame": row["ms"],
        }
        for row in content["result"]
    ]
    return markdown_table(pd.DataFrame(rows)).rstrip()


if __name__ == "__main__":
    main()
