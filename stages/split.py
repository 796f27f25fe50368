"""Cut the manifest into folds: speakers never cross a boundary."""
