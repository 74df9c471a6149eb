"""A diagnosis and an explanation as self-contained HTML fragments, for notebooks and saved pages.

No script, nothing from elsewhere, light and dark; every text is escaped where elements are made.
"""

from ragdiag.report.html.diagnosis import diagnosis_html
from ragdiag.report.html.explanation import explanation_html

__all__ = ["diagnosis_html", "explanation_html"]
