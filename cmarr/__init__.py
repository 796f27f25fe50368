"""Emotion recognition that keeps working when modalities go missing."""

from importlib.metadata import version

__version__ = version("cmarr")
