"""Text files of corpora: transcripts and label files, in whatever encoding they were written."""

from pathlib import Path

from cmarr.errors import Unreadable

LARGEST = 64 * 2**20
"""Bytes; a label file or a transcript is a thousand times smaller, so more than this is something else."""

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WINDOWS = {c: bytes([c]).decode("cp1252", "replace") for c in range(0x80, 0xA0)}


def read_text(path: str | Path) -> str:
    """The text of a file: UTF-8, UTF-16 with its mark, else Windows-1252, the encoding of most old corpora.

    Never fails on an encoding. Characters that a wrong conversion left behind as control codes (the ’ of
    MELD's and other tables) become what was meant; line ends become '\\n', NUL bytes go. Raises Unreadable
    for a file that cannot be opened or is far too large for text.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise Unreadable(
                f"{path} has {size / 1e6:.0f} MB, too much for a text file; is it the right file?"
            )
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror}); check the file") from error
    text = _decoded(content).translate(_WINDOWS)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
