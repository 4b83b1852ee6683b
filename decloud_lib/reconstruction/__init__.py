"""Turning a network into images: sources by window, the streaming pipeline, the finished pixels."""
