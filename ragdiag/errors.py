"""Every error that ragdiag raises on purpose.

    RagdiagError
    ├── DataError          documents, queries, evidence or a file do not say what they must
    ├── ConfigError        a pipeline, an option or a pipeline.toml that cannot work
    ├── StageError         a plug returned something that its contract forbids
    ├── ResourceError      packaged weights or a tokenizer that cannot be loaded
    ├── MissingExtraError  an optional dependency is not installed (names the install line)
    └── ContractError      in `ragdiag.testing`: the promises that a plug broke

`RagdiagWarning` marks what works but is probably not meant.

A message says what was wrong, where (file and line, stage, query or chunk), what was expected and what came.
"""

__all__ = [
    "ConfigError",
    "DataError",
    "MissingExtraError",
    "RagdiagError",
    "RagdiagWarning",
    "ResourceError",
    "StageError",
]


class RagdiagError(Exception):
    """The root of the tree: catch it to catch all that ragdiag raises on purpose."""


class DataError(RagdiagError, ValueError):
    """Documents, queries, evidence or a file do not say what they must."""


class ConfigError(RagdiagError, ValueError):
    """A pipeline, an option or a configuration file that cannot work."""


class StageError(RagdiagError):
    """A plug returned something that its contract forbids.

    Attributes:
        stage: the pipeline's argument name, such as ``"retriever"``.
        where: the query, chunk or document at which it happened, such as ``"query 'q7'"``; may be empty.
    """

    def __init__(self, stage: str, problem: str, *, where: str = "") -> None:
        self.stage = stage
        self.where = where
        super().__init__(f"{stage}: {where + ': ' if where else ''}{problem}")


class ResourceError(RagdiagError):
    """Packaged weights or a tokenizer that cannot be loaded, or are not the ones expected."""


class MissingExtraError(RagdiagError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: the extra of this project that brings it.
    """

    def __init__(self, needed_by: str, module: str, extra: str) -> None:
        self.extra = extra
        super().__init__(
            f"{needed_by} needs the package {module!r}, which is not installed. "
            f"Install it with: pip install 'ragdiag-toolkit[{extra}]'"
        )


class RagdiagWarning(UserWarning):
    """Something that works but is probably not meant."""
