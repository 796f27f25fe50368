"""Text in whatever encoding it was written."""

import pytest

from cmarr.corpora.text_files import LARGEST, read_table, read_text
from cmarr.errors import Unreadable, UserError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_told_from_the_bytes(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("It’s a café.\r\nYes.".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "It’s a café.\nYes."


def test_no_bytes_fail(tmp_path):
    for i in range(256):
        (tmp_path / "a.txt").write_bytes(bytes([65, i, 66]))
        text = read_text(tmp_path / "a.txt")
        assert text.startswith("A") and text.encode("utf-8")


def test_control_codes_of_a_wrong_conversion_become_what_was_meant(tmp_path):
    (tmp_path / "a.txt").write_bytes("you\x92re".encode())
    assert read_text(tmp_path / "a.txt") == "you’re"


def test_what_cannot_be_text_is_refused(tmp_path):
    with pytest.raises(Unreadable, match=r"absent.txt cannot be read"):
        read_text(tmp_path / "absent.txt")
    with (tmp_path / "huge.txt").open("wb") as huge:
        huge.truncate(100 * 2**20)
    with pytest.raises(Unreadable, match="105 MB, too much for a text file"):
        read_text(tmp_path / "huge.txt")


@pytest.mark.parametrize(
    "rows, said",
    [
        (
            'u1,sad,"oh no\nu2,happy,fine\n',
            "line 2: a quotation mark opens here and takes in the rows up to line",
        ),
        ('u0,sad,\n\nu1,sad,"oh no\n', "line 4: a quotation mark opens here and is never closed"),
        (
            'u1,sad,"oh no\nu2,happy,fine\nu3,sad,"well"\n',
            "line 2: a quotation mark opens here and takes in the rows up to line",
        ),
        ("u1,sad,oh, no\n", "line 2: 4 cells under 3 columns; put a text .* in double quotes"),
    ],
)
def test_a_row_that_holds_others_or_too_much_is_refused(tmp_path, rows, said):
    (tmp_path / "a.csv").write_text(f"id,label,text\n{rows}")
    with pytest.raises(UserError, match=rf"a\.csv, {said}"):
        list(read_table(tmp_path / "a.csv", ["id"]))


def test_rows_of_a_table_in_the_ways_that_people_write_them(tmp_path):
    (tmp_path / "a.csv").write_text('sep=,\nid,text\nu1,"a\nb, ""c"""\n\nu2\nu3,so "they" say,,\nu4,"x"')
    found = list(read_table(tmp_path / "a.csv", ["id"]))
    assert [line for line, _ in found] == [3, 6, 7, 8]
    assert [row["text"] for _, row in found] == ['a\nb, "c"', "", 'so "they" say', "x"]


def test_a_table_may_have_a_million_rows(tmp_path):
    """Which is more than a transcript may have: here of as many bytes, for time's sake in fewer rows."""
    path = tmp_path / "utterances.csv"
    path.write_text("id,text\n" + f"a,{'y' * 130_000}\n" * 520)
    assert path.stat().st_size > LARGEST
    assert sum(1 for _ in read_table(path, ["id"])) == 520
