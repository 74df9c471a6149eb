"""A diagnosis, an explanation and a comparison as self-contained HTML fragments for notebooks and pages.

No script, nothing from elsewhere, light and dark; every text is escaped where elements are made.
"""

from ragdiag.report.html.comparison import comparison_html
from ragdiag.report.html.diagnosis import diagnosis_html
from ragdiag.report.html.explanation import explanation_html

__all__ = ["comparison_html", "diagnosis_html", "explanation_html"]
