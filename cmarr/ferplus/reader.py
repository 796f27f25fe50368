"""Where FER+ is, in whichever of its layouts."""

from pathlib import Path

from cmarr.errors import UserError
from cmarr.ferplus import archives, tables
from cmarr.ferplus.faces import FaceSet


def read_part(root: str | Path, part: str) -> FaceSet:
    """The faces of 'train', 'valid' or 'test', those with 'not a face' votes included.

    `root` holds FER2013Train, FER2013Valid and FER2013Test as zip files or folders, or fer2013.csv and
    fer2013new.csv. Raises UserError for a folder that holds neither, and for anything broken in it.
    """
    root = Path(root)
    if not root.is_dir():
        wrong = "is no folder" if root.exists() else "does not exist"
        raise UserError(f"ferplus.root: {root} {wrong}; set it to the folder in which FER+ lies")
    path = archives.find(root, part)
    if path:
        return archives.read_archive(path)
    if tables.found(root):
        return tables.read_tables(root, part)
    raise UserError(
        f"ferplus.root: {root} holds neither {archives.NAMES[part]}.zip (or a folder of that name with label.csv and "
        f"the images in it) nor {tables.PIXELS} with {tables.VOTES}"
    )
