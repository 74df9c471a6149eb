"""Embedders: one model family a file."""
