"""Retrievers: one kind of index a file."""
