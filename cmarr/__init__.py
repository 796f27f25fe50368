"""Emotion recognition that keeps working when modalities go missing."""
