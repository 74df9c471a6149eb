"""Values of tables as plain Python, for faces and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["optional", "plain", "rows_of"]


def optional(value: Any) -> Any:
    """A value of a table as plain Python: NA is None, numpy's scalars are Python's."""
    import pandas as pd

    if value is None or value is pd.NA:
        return None
    return value.item() if hasattr(value, "item") else value


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a table with names as keys."""
    return {str(name): optional(value) for name, value in row.items()}


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """All rows of a table."""
    return [plain(row) for row in table.to_dict("records")]
