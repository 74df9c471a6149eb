"""What a line of BEIR's ``corpus.jsonl`` and ``queries.jsonl`` may say, as `lines` says it of ragdiag's own.

Imports pydantic, so it is itself imported inside the functions that read a file.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ragdiag.formats.lines import IdLine

__all__ = ["CorpusLine", "QueryLine"]


class QueryLine(IdLine):
    """A line of ``queries.jsonl``."""

    id: str = Field(alias="_id")
    text: str
    metadata: dict[str, Any] = Field(default_factory=dict)


class CorpusLine(QueryLine):
    """A line of ``corpus.jsonl``."""

    title: str = ""
