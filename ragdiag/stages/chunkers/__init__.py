"""Chunkers: one concept a file."""
