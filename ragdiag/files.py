"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ragdiag.errors import DataError

__all__ = ["open_atomically"]


@contextmanager
def open_atomically(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that becomes ``path`` when the block ends, and vanishes if the block raises.

    It lies beside its target until then, so that a crash leaves no half file. Links are followed, and
    the permissions of a file that is replaced are kept.

    Raises:
        DataError: the file cannot be written, or ``path`` is there and is no regular file.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise DataError(f"{path}: cannot be written: it is there and is not a regular file")
    draft = target.with_name(f".ragdiag-{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            if target.exists():
                shutil.copymode(target, draft)
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
