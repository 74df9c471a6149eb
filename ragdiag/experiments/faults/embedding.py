"""Faults of turning texts into vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.around import AroundEmbedder
from ragdiag.experiments.faults.chance import checksum, turned
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.experiments.faults.marks import Marks
from ragdiag.stages.protocols import Embedder, Vectors

__all__ = ["FAULTS"]

_NOISE = 0.8  # share of noise in a vector
_VERSION = 7  # of the model that embeds queries
_UNPROMPTED = 5  # what becomes of texts without their prompt
_PROMPTS = {"query": "query: ", "document": "passage: "}


def _embedder(case: Case) -> Embedder:
    embedder = case.pipeline.embedder
    if embedder is None:
        raise ConfigError("the pipeline has no embedder")
    return embedder


@dataclass(frozen=True)
class _PromptMissing(AroundEmbedder):
    """A model that was trained with a prompt on one side, and is used without it, and says so.

    With its prompt it embeds as the inner one does; without, as a model that has drifted from it.
    """

    side: Literal["query", "document"]
    strength: float

    @property
    def unused_prompts(self) -> Mapping[str, str]:
        return {**getattr(self.inner, "unused_prompts", {}), self.side: _PROMPTS[self.side]}

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        embed = self.inner.embed_documents
        return self._prompted(embed, texts) if self.side == "document" else embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        embed = self.inner.embed_queries
        return self._prompted(embed, texts) if self.side == "query" else embed(texts)

    def _prompted(self, embed: Callable[[Sequence[str]], Vectors], texts: Sequence[str]) -> Vectors:
        prompt = _PROMPTS[self.side]
        vectors = embed([text.removeprefix(prompt) for text in texts])
        has_prompt = np.array([text.startswith(prompt) for text in texts], bool)[:, None]
        return np.where(has_prompt, vectors, turned(vectors, self.strength, _UNPROMPTED))


def _query_prompt_missing(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_PromptMissing(_embedder(case), "query", min(1.0, aim.severity)))


def _document_prompt_missing(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_PromptMissing(_embedder(case), "document", min(1.0, aim.severity)))


@dataclass(frozen=True)
class _InputTruncated(AroundEmbedder):
    """Reads the first words of each text only, and says so."""

    words: int

    @property
    def max_tokens(self) -> int:
        return self.words

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_documents([self._beginning(text) for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_queries([self._beginning(text) for text in texts])

    def _beginning(self, text: str) -> str:
        found = list(re.finditer(r"\S+", text))
        return text[: found[self.words - 1].end()] if len(found) > self.words else text


def _input_truncated(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_InputTruncated(_embedder(case), max(1, round(aim.severity))))


@dataclass(frozen=True)
class _Masked(AroundEmbedder):
    """Does not see the capitalized words, or those with digits, of texts with marked evidence."""

    marks: Marks = field(repr=False)
    unseen: Literal["names", "numbers"]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_documents([self._seen(t) if self.marks.touch(t) else t for t in texts])

    def _seen(self, text: str) -> str:
        if self.unseen == "numbers":
            return re.sub(r"\S*\d\S*", "", text)
        return re.sub(r"\w[\w'-]*", lambda word: "" if word[0][0].isupper() else word[0], text)


def _entity_masked(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_Masked(_embedder(case), aim.marks, "names"))


def _numbers_masked(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_Masked(_embedder(case), aim.marks, "numbers"))


@dataclass(frozen=True)
class _Noise(AroundEmbedder):
    """The vectors of texts with marked evidence are mostly noise, to each text its own."""

    marks: Marks = field(repr=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = np.array(self.inner.embed_documents(texts), np.float32)
        for row, text in enumerate(texts):
            if self.marks.touch(text):
                vectors[row] = turned(vectors[row : row + 1], _NOISE, checksum(text, "noise"))[0]
        return vectors


def _noise(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_Noise(_embedder(case), aim.marks))


@dataclass(frozen=True)
class _DimensionsCut(AroundEmbedder):
    """Only the first dimensions are kept, of a model that was not trained for that."""

    dimensions: int

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_documents(texts)[:, : self.dimensions]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_queries(texts)[:, : self.dimensions]


def _dimensions_cut(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_DimensionsCut(_embedder(case), max(1, round(aim.severity))))


@dataclass(frozen=True)
class _OtherVersion(AroundEmbedder):
    """Queries are embedded by another version of the model than documents."""

    strength: float

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return turned(self.inner.embed_queries(texts), self.strength, _VERSION)


def _other_version(case: Case, aim: Aim) -> Case:
    return case.using(embedder=_OtherVersion(_embedder(case), aim.severity))


_DRIFT = "how far a vector without its prompt has drifted, up to 1"

FAULTS = (
    Fault(
        "query_prompt_missing",
        stage="embedder",
        cause="missing_prompt",
        what="queries are embedded without the prompt that the model was trained with",
        reach="whole",
        parameter=_DRIFT,
        severity=0.6,
        needs=("embedder",),
        synthetic=True,
        wrap=_query_prompt_missing,
    ),
    Fault(
        "document_prompt_missing",
        stage="embedder",
        cause="missing_prompt",
        what="documents are embedded without the prompt that the model was trained with",
        reach="whole",
        parameter=_DRIFT,
        severity=0.6,
        needs=("embedder",),
        synthetic=True,
        wrap=_document_prompt_missing,
    ),
    Fault(
        "input_truncated",
        stage="embedder",
        cause="truncated",
        what="only the beginning of each text is embedded",
        reach="whole",
        parameter="words that are read",
        severity=20,
        needs=("embedder",),
        wrap=_input_truncated,
    ),
    Fault(
        "entity_masked",
        stage="embedder",
        cause="numbers_or_entities",
        what="names are not seen in some texts",
        needs=("embedder",),
        wrap=_entity_masked,
    ),
    Fault(
        "numbers_masked",
        stage="embedder",
        cause="numbers_or_entities",
        what="numbers are not seen in some texts",
        needs=("embedder",),
        wrap=_numbers_masked,
    ),
    Fault(
        "noise",
        stage="embedder",
        cause="ranked_low",
        what=f"{_NOISE:.0%} of the vectors of some texts is noise",
        severity=0.2,
        needs=("embedder",),
        wrap=_noise,
    ),
    Fault(
        "dimensions_cut",
        stage="embedder",
        cause="ranked_low",
        what="most dimensions of the vectors are cut off",
        reach="whole",
        parameter="dimensions kept",
        severity=8,
        needs=("embedder",),
        wrap=_dimensions_cut,
    ),
    Fault(
        "other_version",
        stage="embedder",
        cause="ranked_low",
        what="queries are embedded by another version of the model than documents",
        reach="whole",
        parameter="share of the other version in each vector",
        severity=0.6,
        needs=("embedder",),
        wrap=_other_version,
    ),
)
