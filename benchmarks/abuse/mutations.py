"""What is done to files and folders: as disks, downloads, spreadsheets and strangers do it, at random."""

import os
import pickle
import random
import shutil
import struct
from pathlib import Path

NUMBERS = (
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
WORDS = (
    "",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e999",
    "-1e999",
    "1e-320",
    "0x",
    "9" * 5000,
    "-" * 70,
    "null",
    "None",
    "true",
    "\0",
    '"',
    "'",
    "\n",
    "\r",
    "\t",
    ",",
    ";",
    "[" * 200,
    "{" * 200,
    "]",
    "}",
    "*a",
    "&a",
    "<<",
    "!!python/object/apply:os.system",
    "%s",
    "%n",
    "../../x",
    "/etc/passwd",
    "/dev/zero",
    "\ufeff",
    "\u202e",
    "\u0663",
    "\U0001f600",
    "e\u0301" * 50,
    "0000-00-00",
    "1:1:1",
    "--> ",
    "00:00:01,000",
    "&#",
    "&lt;",
    "a" * 70_000,
    "1_000",
    "+1",
    "1.",
    ".5",
    "-0",
    "é",
    "\\",
    "{\\an8}",
    "<b>",
    "id",
    "Session1",
    "Ses01F_impro01",
    "$_$",
    "___",
    "_DELIM_",
)


ODD = ("x", "e\u0301.csv", "a\nb.wav", " .txt", "a" * 250, "%s.mp4")
"""Names that files get."""


def of_bytes(content: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, lost, doubled, moved, or overwritten with numbers that nobody expects."""
    broken = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        size = len(broken)
        place = draw.randrange(min(size, 256) if draw.random() < 0.4 else size) if size else 0
        length = draw.choice((1, 2, 4, 8, 16, 64, 512))
        match draw.randrange(9):
            case 0:
                del broken[place:]
            case 1:
                del broken[place : place + length]
            case 2 if size:
                broken[place] ^= 1 << draw.randrange(8)
            case 3:
                broken[place : place + length] = draw.randbytes(length)
            case 4:
                broken[place:place] = broken[place : place + length] * draw.randrange(1, 50)
            case 5:
                form = draw.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
                packed = struct.pack(form, draw.choice(NUMBERS) % 2 ** (8 * struct.calcsize(form)))
                broken[place : place + len(packed)] = packed
            case 6:
                other = draw.randrange(size) if size else 0
                broken[place : place + length] = broken[other : other + length]
            case 7:
                broken[place:place] = draw.choice(WORDS).encode()
            case 8:
                broken[place : place + length] = bytes(length)
    return bytes(broken)


def of_text(content: bytes, draw: random.Random) -> bytes:
    """Words and lines of a text changed, lost, doubled or moved; now and then its bytes are."""
    if draw.random() < 0.25:
        return of_bytes(content, draw)
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(lines))
        match draw.randrange(7):
            case 0 if len(lines) > 1:
                del lines[place]
            case 1:
                lines.insert(place, lines[draw.randrange(len(lines))])
            case 2:
                other = draw.randrange(len(lines))
                lines[place], lines[other] = lines[other], lines[place]
            case 3:
                lines[place] = lines[place] * draw.randrange(2, 30)
            case _:
                parts = lines[place].replace(",", " , ").replace(":", " : ").split(" ")
                parts[draw.randrange(len(parts))] = draw.choice(WORDS)
                lines[place] = " ".join(parts).replace(" , ", ",").replace(" : ", ": ")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def of_pickle(content: bytes, draw: random.Random, marker: Path) -> bytes:
    """A program for the machine that pickles are, which may ask for a file to be made; or a damaged pickle."""
    if draw.random() < 0.4:
        return of_bytes(content, draw)
    call = f"cos\nsystem\n(Vtouch {marker}\ntR".encode()
    codes = [bytes([code]) for code in range(256) if bytes([code]) in vars(pickle).values()]
    pieces = [
        b"]",
        b"}",
        b")",
        b"(",
        b"2",
        b"0",
        b"K\x01",
        b"K\x02",
        b"N",
        b"\x86",
        b"\x85",
        b"\x87",
        b"q\x00",
        b"h\x00",
        b"t",
        b"l",
        b"d",
        b"a",
        b"e",
        b"s",
        b"u",
        b"R",
        b"b",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"\x94",
        b"\x93",
        b"\x81",
        b"o",
        b"U\x02id",
        b"X\x02\0\0\0id",
        b"G" + bytes(8),
        b"\x8a\x09" + bytes(8) + b"\x01",
        b"cnumpy\ndtype\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cbuiltins\nset\n",
        b"cbuiltins\nbytearray\n",
        b"ccollections\nOrderedDict\n",
        b"c_codecs\nencode\n",
        b"cbuiltins\neval\n",
        b"B\x04\0\0\0abcd",
        call,
        b"\x8d" + struct.pack("<Q", 2**40),
        b"\x96" + struct.pack("<Q", 2**33),
        b"r" + struct.pack("<I", 2**31),
        b"\x95" + bytes(8),
    ]
    program = b"".join(
        draw.choice(pieces) if draw.random() < 0.9 else draw.choice(codes)
        for _ in range(draw.randrange(1, 120))
    )
    place = draw.randrange(len(content))
    return draw.choice(
        (
            b"\x80\x04" + program + b".",
            content[:place] + program + content[place:],
            content[:-1] + program + b".",
        )
    )


def of_tree(folder: Path, draw: random.Random, marker: Path) -> None:
    """One file of a folder damaged; or files and folders lost, renamed, moved, or made into what they should not be."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    for _ in range(draw.choice((1, 1, 2))):
        path = draw.choice(files)
        if not path.is_file():
            continue
        match draw.randrange(12):
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(b"")
            case 2:
                path.unlink()
                path.mkdir()
            case 3:
                path.unlink()
                os.mkfifo(path)
            case 4:
                path.unlink()
                path.symlink_to(draw.choice(("/dev/zero", path.name, "nowhere", str(folder), "/dev/tty")))
            case 5:
                path.rename(
                    path.with_name(
                        draw.choice(("x", "é\u0301.csv", "a\nb.wav", " .txt", "a" * 250, "%s.mp4"))
                    )
                )
            case 6:
                if (other := draw.choice(files)).is_file() and other != path:
                    shutil.copyfile(other, path)
            case 7 if not (path.parent / "again").is_symlink():
                (path.parent / "again").symlink_to(path.parent)
            case _:
                content = path.read_bytes()
                path.write_bytes(mutated(path.suffix, content, draw, marker))


TEXTS = (
    ".txt",
    ".csv",
    ".json",
    ".yaml",
    ".srt",
    ".vtt",
    ".ass",
    ".ttml",
    ".lrc",
    ".smi",
    ".wdseg",
    ".annotprocessed",
    ".md",
    "",
)


def mutated(ending: str, content: bytes, draw: random.Random, marker: Path) -> bytes:
    """A damaged version of a file, in the way of its kind."""
    if ending.lower() in (".pkl", ".pickle"):
        return of_pickle(content, draw, marker)
    return of_text(content, draw) if ending.lower() in TEXTS else of_bytes(content, draw)
