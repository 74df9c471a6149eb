"""The demo: the project's own handbook with its questions, a sensible pipeline, and one with mistakes.

The files are part of the package: an installed wheel holds them in ``ragdiag/fixtures``, a checkout beside
the package. The pipelines need the extra ``static``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ragdiag.errors import ResourceError
from ragdiag.formats import read_documents, read_pipeline, read_queries
from ragdiag.records import Document, Query

if TYPE_CHECKING:
    from ragdiag.pipeline import Pipeline

__all__ = ["demo_data", "demo_pipeline"]

_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = (_PACKAGE / "fixtures", _PACKAGE.parent / "fixtures")


def demo_data() -> tuple[list[Document], list[Query]]:
    """The documents of the handbook, and the questions about it with their evidence.

    Raises:
        ResourceError: the files are not installed.
    """
    documents = read_documents(_fixture("handbook/documents.jsonl"))
    return documents, read_queries(_fixture("handbook/queries.jsonl"), documents)


def demo_pipeline(*, mistakes: bool = False) -> Pipeline:
    """The pipeline of ``pipeline.toml``, or that of ``common_mistakes.toml``.

    Raises:
        ResourceError: the file, or the packaged model, is not installed as expected.
        MissingExtraError: the extra ``static`` is not installed.
    """
    return read_pipeline(_fixture("common_mistakes.toml" if mistakes else "pipeline.toml"))


def _fixture(name: str) -> Path:
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    looked_in = " or ".join(str(folder) for folder in _FOLDERS)
    raise ResourceError(
        f"the demo's file {name!r} is not in {looked_in}; reinstall it with: "
        "pip install --force-reinstall 'ragdiag-toolkit[static]'"
    )
