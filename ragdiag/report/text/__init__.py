"""A diagnosis, an explanation and a comparison as plain text for a terminal, at most 100 columns wide."""

from ragdiag.report.text.comparison import comparison_text
from ragdiag.report.text.diagnosis import diagnosis_text
from ragdiag.report.text.explanation import explanation_text

__all__ = ["comparison_text", "diagnosis_text", "explanation_text"]
