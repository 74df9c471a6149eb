"""Experiments on pipelines: faults planted on purpose, remedies tried out.

``parts.py`` changes a part of a plug, an arm or one of a chain, for both.
"""
