"""Endings of the names of media files. Decoders go by content; a folder's files are told apart by these."""

AUDIO = (
    ".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3", ".m4a", ".m4b", ".aac", ".opus", ".oga", ".wma", ".amr", ".awb",
    ".3ga", ".caf", ".weba", ".mka", ".ac3", ".ape", ".au", ".snd", ".aifc", ".tta", ".voc", ".w64", ".wv",
)  # fmt: skip
"""Of files that are sound alone; a picture in one of them is a cover."""

VIDEO = (
    ".mp4", ".avi", ".flv", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".3gp", ".3g2", ".ts", ".mts",
    ".m2ts", ".ogv", ".asf",
)  # fmt: skip
