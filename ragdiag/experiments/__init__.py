"""Experiments on pipelines: faults planted on purpose, remedies tried out."""
