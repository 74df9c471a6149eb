"""Measures of what was retrieved, and how sure they are."""
