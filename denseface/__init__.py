"""FER+: faces and the votes on them; Denseface trained on them, and scored."""
