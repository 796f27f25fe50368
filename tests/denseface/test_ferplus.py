"""FER+ in each of its layouts, what its votes mean, and what is said when something in it is broken."""

import contextlib
import csv
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from miniature import faces, png, write_zip

from cmarr.errors import UserError
from denseface.ferplus import (
    COLUMNS,
    PIXELS,
    VOTES,
    distribution,
    has_majority,
    is_face,
    is_tied,
    label,
    read_part,
)  # fmt: skip


def row(**votes: int) -> list[int]:
    return [votes.get(name, 0) for name in COLUMNS]


def test_the_columns_are_those_of_the_table():
    assert COLUMNS[:2] == ("neutral", "happiness") and COLUMNS[-3:] == ("contempt", "unknown", "NF")


def test_votes_become_shares_of_the_emotions_alone():
    votes = np.array([row(neutral=4, anger=1, disgust=3, unknown=2)])
    np.testing.assert_allclose(distribution(votes)[0], np.array([4, 0, 0, 0, 1, 3, 0, 0]) / 8)


def test_the_label_is_the_first_column_on_ties_and_unknown_is_none():
    votes = np.array([row(sadness=4, neutral=4, anger=2), row(unknown=6, fear=4), row(contempt=9, neutral=1)])
    assert label(votes).tolist() == [0, 6, 7]
    assert is_tied(votes).tolist() == [True, False, False]


def test_one_vote_for_no_face_is_enough_and_so_is_no_emotion():
    votes = np.array([row(happiness=10), row(happiness=9, NF=1), row(unknown=10)])
    assert is_face(votes).tolist() == [True, False, False]


def test_a_majority_is_more_than_half_of_the_votes_that_do_not_stand_alone():
    votes = np.array(
        [
            row(neutral=6, anger=4),
            row(neutral=5, anger=5),
            row(neutral=5, anger=3, fear=1, sadness=1),  # 5 of 8
            row(neutral=4, anger=3, fear=3),
            row(unknown=6, anger=4),
            row(neutral=1, anger=1, fear=1),  # all alone
        ]
    )
    assert has_majority(votes).tolist() == [True, False, True, False, False, False]


def same(found, expected):
    assert found.names == expected.names
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.votes, expected.votes)


def test_zip_files(ferplus):
    same(read_part(ferplus, "train"), faces(24, seed=0))
    same(read_part(ferplus, "test"), faces(8, seed=2))


def test_folders(ferplus):
    with zipfile.ZipFile(ferplus / "FER2013Valid.zip") as archive:
        archive.extractall(ferplus)
    (ferplus / "FER2013Valid.zip").unlink()
    same(read_part(ferplus, "valid"), faces(8, seed=1))


def test_what_is_no_face_is_left_out_on_request():
    some = faces(8)
    some.votes[3, -1] = 1
    assert some.real().names == tuple(name for n, name in enumerate(some.names) if n != 3)


def write_tables(root, some, *, usage="Training", pixels=None, spoil=lambda rows: None):
    with (root / PIXELS).open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["emotion", "pixels", "Usage"])
        for image in some.images:
            writer.writerow([0, pixels or " ".join(map(str, image.ravel())), usage])
    rows = [[usage, name, *map(int, votes)] for name, votes in zip(some.names, some.votes, strict=True)]
    spoil(rows)
    with (root / VOTES).open("w", newline="") as opened:
        csv.writer(opened).writerows([["Usage", "Image name", *COLUMNS], *rows])


def test_the_two_tables(tmp_path):
    write_tables(tmp_path, faces(5), usage="PublicTest")
    same(read_part(tmp_path, "valid"), faces(5))
    with pytest.raises(UserError, match="names no face of the part test"):
        read_part(tmp_path, "test")


def test_rows_without_a_name_were_dropped_by_ferplus(tmp_path):
    def forget(rows):
        rows[1][1] = ""

    write_tables(tmp_path, faces(5), spoil=forget)
    same(read_part(tmp_path, "train"), faces(5).only(np.array([0, 2, 3, 4])))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda rows: rows.pop(),
            r"line 6: fer2013\.csv and fer2013new\.csv do not have the same number of rows",
        ),
        (
            lambda rows: rows[0].__setitem__(0, "PrivateTest"),
            "line 2: Usage is 'PrivateTest', but 'Training'",
        ),
        (lambda rows: rows[2].__setitem__(4, "many"), "line 4: votes must be whole numbers, not .*'many'"),
    ],
)
def test_tables_that_do_not_fit_together(tmp_path, spoil, message):
    write_tables(tmp_path, faces(5), spoil=spoil)
    with pytest.raises(UserError, match=message):
        read_part(tmp_path, "train")


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        ("1 2 3", "3"),
        (" ", "0"),
        ("300 " * 2304, "others"),
        ("x " * 2304, "others"),
        ("9" * 30 + " 7" * 2303, "others"),
    ],
)
def test_pixels_that_are_none(tmp_path, pixels, found):
    write_tables(tmp_path, faces(2), pixels=pixels)
    with pytest.raises(
        UserError,
        match=rf"fer2013\.csv, line 2: pixels must be 2304 whole numbers from 0 to 255, not {found};",
    ):
        read_part(tmp_path, "train")


def test_a_column_that_is_missing(tmp_path):
    write_tables(tmp_path, faces(2))
    text = (tmp_path / VOTES).read_text().replace("contempt", "scorn")
    (tmp_path / VOTES).write_text(text)
    with pytest.raises(
        UserError, match=r"the column 'contempt' is missing; its first line names 'Usage', .*'scorn'"
    ):
        read_part(tmp_path, "train")
    (tmp_path / VOTES).write_bytes(b"")
    with pytest.raises(UserError, match="the column 'Usage' is missing; its first line names none"):
        read_part(tmp_path, "train")


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match=r"holds neither FER2013Valid\.zip .* nor fer2013\.csv"):
        read_part(tmp_path, "valid")
    with pytest.raises(UserError, match=r"root: .*nowhere does not exist; set it to the folder"):
        read_part(tmp_path / "nowhere", "valid")
    with pytest.raises(UserError, match=r"root: .*FER2013Test\.zip is no folder; set it to the folder"):
        read_part(write_zip(tmp_path / "FER2013Test.zip", faces(2)), "test")


def test_what_may_not_be_read_is_not_called_missing(ferplus, monkeypatch):
    with zipfile.ZipFile(ferplus / "FER2013Valid.zip") as archive:
        archive.extractall(ferplus)
    (ferplus / "FER2013Valid.zip").unlink()

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(UserError, match=r"FER2013Valid/label\.csv cannot be read \(Permission denied\)"):
        read_part(ferplus, "valid")


def test_a_folder_without_labels_is_no_part(tmp_path):
    (tmp_path / "FER2013Valid/FER2013Valid").mkdir(parents=True)  # unpacked into a folder of its own
    (tmp_path / "FER2013Valid/FER2013Valid/label.csv").touch()
    with pytest.raises(UserError, match=r"or a folder of that name with label\.csv and the images in it"):
        read_part(tmp_path, "valid")


GOOD = ["fer0000000.png", "(0, 0, 48, 48)", *"8200000000"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD[:-1]], "line 1: 11 cells instead of 12"),
        (
            [GOOD, ["fer0000001.png", "(0, 0, 48, 48)", *"82000000", "", "0"]],
            "line 2: votes must be whole numbers",
        ),
        ([[*GOOD[:2], "-1", *GOOD[3:]]], "line 1: votes must be whole numbers, not '-1'"),
        (
            [[GOOD[0], "(0, 0, 24, 48)", *GOOD[2:]]],
            r"line 1: the box '\(0, 0, 24, 48\)' is not the whole image",
        ),
        ([GOOD, GOOD], "line 2: fer0000000.png was labelled already"),
        (
            [["fer0000099.png", *GOOD[1:]]],
            "line 1: the image 'fer0000099.png' is missing; fetch the archive again",
        ),
        ([], "label.csv is empty"),
    ],
)
def test_broken_rows(tmp_path, rows, message):
    write_zip(tmp_path / "FER2013Train.zip", faces(2), rows=rows)
    with pytest.raises(UserError, match=message):
        read_part(tmp_path, "train")


def claiming(packed, side):
    """A PNG that says it is larger than it is."""
    header = b"IHDR" + struct.pack(">II", side, side) + packed[24:29]
    return packed[:12] + header + struct.pack(">I", zlib.crc32(header)) + packed[33:]


WHOLE = png(faces(1).images[0])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "line 2: the image 'fer0000001.png' is missing"),
        (b"", "line 2: fer0000001.png is no image"),
        (b"not a picture", "line 2: fer0000001.png is no image, or a damaged one"),
        (png(np.zeros((48, 48, 3), np.uint8)), "line 2: fer0000001.png is not an 8-bit gray image"),
        (png(np.zeros((48, 48), np.uint16)), "line 2: fer0000001.png is not an 8-bit gray image"),
        (png(np.zeros((24, 48), np.uint8)), "line 2: fer0000001.png has 48 x 24 pixels instead of 48 x 48"),
        (WHOLE[: len(WHOLE) // 2], "line 2: fer0000001.png is no image, or a damaged one"),
        (WHOLE[:-1], "line 2: fer0000001.png is no image, or a damaged one"),
        (claiming(WHOLE, 100_000), "line 2: fer0000001.png has 100000 x .* pixels instead"),
    ],
)
def test_images_that_cannot_be_used(tmp_path, image, message):
    write_zip(tmp_path / "FER2013Train.zip", faces(3), images={"fer0000001.png": image})
    with pytest.raises(UserError, match=message):
        read_part(tmp_path, "train")


def test_archives_that_cannot_be_used(tmp_path):
    path = tmp_path / "FER2013Train.zip"
    path.write_bytes(b"no zip file")
    with pytest.raises(UserError, match=r"FER2013Train\.zip: cannot be unpacked .*; fetch it again"):
        read_part(tmp_path, "train")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(UserError, match=r"holds 0 files named label\.csv"):
        read_part(tmp_path, "train")
    whole = write_zip(path, faces(4)).read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 0xFF  # inside an image: its checksum tells
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"FER2013Train\.zip"):
        read_part(tmp_path, "train")


def test_a_damaged_archive_is_a_sentence_wherever_the_damage_is(tmp_path):
    path = tmp_path / "FER2013Train.zip"
    with zipfile.ZipFile(write_zip(path, faces(4))) as plain:
        content = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in content.items():
            packed.writestr(name, data)
    whole = path.read_bytes()
    for place in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):  # dates and the like may change unnoticed
            same(read_part(tmp_path, "train"), faces(4))


def test_lines_may_end_as_any_system_ends_them(tmp_path, ferplus, request):
    with zipfile.ZipFile(ferplus / "FER2013Valid.zip") as archive:
        archive.extractall(tmp_path / "own")
    labels = tmp_path / "own/FER2013Valid/label.csv"
    lines = labels.read_text().splitlines()
    for end in ("\n", "\r\n", "\r"):
        labels.write_bytes(end.join(lines).encode())
        same(read_part(tmp_path / "own", "valid"), faces(8, seed=1))
    labels.write_text("\n".join([*lines, "x" * 3000]))
    before = csv.field_size_limit(1000)
    request.addfinalizer(lambda: csv.field_size_limit(before))
    with pytest.raises(UserError, match=r"label\.csv, line 9: is no row of a table"):
        read_part(tmp_path / "own", "valid")


FERPLUS = Path(__file__).parents[2] / "../shared/data/ferplus"


@pytest.mark.skipif(not FERPLUS.is_dir(), reason="FER+ is not at ../shared/data/ferplus")
def test_the_faces_of_the_test_part():
    test = read_part(FERPLUS, "test")
    real = test.real()
    assert (len(test), len(real)) == (3573, 3512)
    assert np.bincount(label(real.votes)).tolist() == [1255, 916, 441, 441, 316, 21, 92, 30]
    assert int(has_majority(test.votes).sum()) == 3137  # as in the papers that score it
    assert int(is_tied(real.votes).sum()) == 165
