"""Tracking: finished results mirrored into MLflow, where a person compares them.

The files of metrics and predictions are the truth; nothing here is read back by another layer.
"""
