"""Reading audio and video files: decoders, faces, and the worker processes they run in.

Nothing is imported here: the workers load only what their own work needs.
"""
