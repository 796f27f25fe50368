"""What is looked at before and beside the encoders, in one worker process: headers and levels."""

from collections.abc import Sequence
from typing import Any

from cmarr.corpora.headers import Header, MediaFile, Opener
from cmarr.media.audio import LevelReader, Levels
from cmarr.media.clips import Clip, Failure


class Examiner:
    """Files -> their headers, clips -> the levels of their sound; a group holds one of the two kinds."""

    def __init__(self) -> None:
        self.opener, self.listener = Opener(), LevelReader()

    def __call__(self, items: Sequence[MediaFile | Clip]) -> list[Any]:
        """One answer an item: Header, Levels, or a Failure."""
        answers: list[Header | Levels | Failure] = []
        for item in items:
            answers += self.listener([item]) if isinstance(item, Clip) else self.opener([item])
        return answers
