"""What results are kept under: the names of plugs, and digests of what was asked of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from ragdiag.errors import ConfigError

__all__ = ["KEY_BYTES", "fingerprint", "key_of", "name_of", "require_slug", "without_address"]

KEY_BYTES = 16
"""The length of a key: 128 bits, so that no two of any number that can be kept are the same by chance."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# What numpy and torch print in place of most of a long array.
_LEFT_OUT = re.compile(r"[\[,]\s*\.\.\.,")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


def without_address(shown: str) -> str:
    """A ``repr`` without the addresses of objects, which are others in every process."""
    return _ADDRESS.sub("", shown)


def fingerprint(plug: object) -> str | None:
    """What a plug says that it is: its ``repr``; None for one that cannot say.

    That is a plug whose ``repr`` shows the address of an object, leaves out the middle of a long array, or is
    empty. A ``repr`` may still say too little: it does not tell that a folder now holds other weights.

    Example:
        >>> from ragdiag.stages.retrievers import ExactRetriever
        >>> fingerprint(ExactRetriever()), fingerprint(object())
        ("ExactRetriever(metric='cosine')", None)
    """
    shown = repr(plug)
    unclear = not shown or _ADDRESS.search(shown) or _LEFT_OUT.search(shown)
    return None if unclear else shown


def name_of(plug: object, name: str | None) -> str:
    """What the results of a plug are kept under: the name that was given, else its fingerprint.

    Raises:
        ConfigError: the name is empty, or none was given and the plug cannot say what it is.
    """
    called = fingerprint(plug) if name is None else name
    if not called:
        shown = repr(plug) if name is None else repr(name)
        raise ConfigError(
            f"{shown} does not name a {type(plug).__name__} for good: give name=, or the class a __repr__ "
            "that shows its options"
        )
    return called


def key_of(parts: Iterable[str]) -> bytes:
    """The digest of some texts, in which each begins with its length, so that none runs into the next."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:
        written = part.encode("utf-8", "surrogatepass")
        digest.update(len(written).to_bytes(8, "little"))
        digest.update(written)
    return digest.digest()


def require_slug(what: str, value: str) -> None:
    """Refuse what cannot safely be the name of a file everywhere.

    Raises:
        ConfigError: ``value`` is not made of a-z, 0-9 and hyphens, 100 at most.
    """
    if not _SLUG.fullmatch(value):
        raise ConfigError(f"{what} must be 1 to 100 of a-z, 0-9 and hyphens, got {value!r}")
