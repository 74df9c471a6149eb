"""Any cross-encoder of sentence-transformers as a reranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, MissingExtraError, ResourceError
from ragdiag.stages.embedders.texts import encodable
from ragdiag.stages.loading import (
    changed_options,
    loading_bar_only_in_a_terminal,
    name_of_loaded,
    options_of,
)

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

__all__ = ["CrossEncoderReranker"]


@dataclass(frozen=True, eq=False, repr=False)
class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers (https://sbert.net); needs its extra.

    The model reads the query together with a text and says how well they go together. A score is the model's
    raw output (logit), without its activation: a sigmoid orders texts alike, but rounds good ones to an equal
    1. Pairs longer than the model's input limit are cut, the longer of query and text first. Each distinct
    text is scored once a call; a score depends on its query and text alone, up to how the model rounds in
    batches of other lengths. The model is loaded at first use and left behind when the reranker is pickled,
    unless it was handed over loaded.

    Args:
        model: a name on the Hugging Face Hub (downloaded at first use; with ``HF_HUB_OFFLINE=1`` taken from
            the local cache), a local folder, or a loaded ``CrossEncoder``: load it yourself for a revision, a
            backend, a prompt or remote code.
        label: which output is the score, for a model that has several: the logarithm of the probability
            that the model gives to the label of this number, from 0. None for a model that has one.
        max_length: the input limit in tokens, of query, text and special tokens together; None for the
            model's own, which it must not exceed. A loaded model has its own.
        batch_size: pairs a step; they are taken in the order of their length, so that little is padded.
        device: where to load the model, such as ``"cuda"``; None lets sentence-transformers choose. A loaded
            model stays where it is.

    Raises:
        ConfigError: an option is out of range; at first use, the model has several outputs and ``label`` is
            none of them, or one and ``label`` is given, or it was never trained to score (an embedding model,
            say).
        MissingExtraError: at first use, if the extra is not installed.
        ResourceError: at first use, if the model cannot be loaded.

    Source: Nogueira & Cho, "Passage re-ranking with BERT", arXiv:1901.04085 (2019).

    Example:
        >>> CrossEncoderReranker("cross-encoder/ms-marco-MiniLM-L6-v2", batch_size=64)
        CrossEncoderReranker('cross-encoder/ms-marco-MiniLM-L6-v2', batch_size=64)
    """

    model: str | Path | CrossEncoder
    _: KW_ONLY
    label: int | None = None
    max_length: int | None = None
    batch_size: int = 32
    device: str | None = "cpu"

    def __post_init__(self) -> None:
        if self.label is not None and self.label < 0:
            raise ConfigError(f"CrossEncoderReranker.label must be >= 0 or None, got {self.label}")
        if self.max_length is not None and self.max_length < 1:
            raise ConfigError(f"CrossEncoderReranker.max_length must be >= 1 or None, got {self.max_length}")
        if self.max_length is not None and not isinstance(self.model, str | Path):
            raise ConfigError(
                f"CrossEncoderReranker.max_length must be None for a loaded model, got {self.max_length}; "
                "give it where the model is loaded"
            )
        if self.batch_size < 1:
            raise ConfigError(f"CrossEncoderReranker.batch_size must be >= 1, got {self.batch_size}")

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score a text, higher is better."""
        clean = encodable(texts)
        distinct = list(dict.fromkeys(clean))
        [asked] = encodable([query])
        score_of = dict(zip(distinct, self._score_pairs(asked, distinct), strict=True))
        return [score_of[text] for text in clean]

    @property
    def max_tokens(self) -> int | None:
        """The input limit of query and text together, special tokens included; None for none."""
        model = self._checked
        # Renamed in sentence-transformers 6.
        limit = model.max_seq_length if hasattr(model, "max_seq_length") else model.max_length
        return None if limit is None else int(limit)

    def count_pair_tokens(self, query: str, texts: Sequence[str]) -> list[int]:
        """The tokens of the query with each text, none cut off, special tokens included."""
        [asked], clean = encodable([query]), encodable(texts)
        pairs = (
            self._checked.tokenizer([asked] * len(clean), clean, verbose=False)["input_ids"] if clean else []
        )
        return [len(tokens) for tokens in pairs]

    def _score_pairs(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        model = self._checked
        from torch.nn import Identity  # heavy, and loaded with the model

        predicted = model.predict(
            [(query, text) for text in texts],
            batch_size=self.batch_size,
            activation_fn=Identity(),
            show_progress_bar=False,  # one over all queries is shown where the pipeline runs
        )
        logits: NDArray[np.float64] = np.asarray(predicted, dtype=np.float64)
        if self.label is not None:
            logits = logits[:, self.label] - np.logaddexp.reduce(logits, axis=1)
        scores: list[float] = logits.tolist()
        return scores

    def __repr__(self) -> str:
        named = isinstance(self.model, str | Path)
        name = repr(str(self.model)) if named else name_of_loaded(self.model)
        return f"CrossEncoderReranker({name}{changed_options(self)})"

    def __getstate__(self) -> dict[str, object]:
        return options_of(self)

    @cached_property
    def _checked(self) -> Any:
        """The loaded model, which gives one score a pair."""
        model = self._load(self.model) if isinstance(self.model, str | Path) else self.model
        outputs = int(model.num_labels)
        if outputs == 1 and self.label is not None:
            raise ConfigError(f"{self!r} has a single output: leave label out")
        if outputs > 1 and (self.label is None or self.label >= outputs):
            raise ConfigError(
                f"{self!r} has {outputs} outputs a pair, and a reranker needs one score: give as label the "
                f"number of the one that says how relevant a text is, of {_labels(model)}"
            )
        return model

    def _load(self, model: str | Path) -> Any:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingExtraError(
                "CrossEncoderReranker", "sentence_transformers", "sentence-transformers"
            ) from error
        with loading_bar_only_in_a_terminal():
            try:
                loaded: Any = CrossEncoder(str(model), device=self.device, max_length=self.max_length)
            except (OSError, ValueError) as error:
                raise ResourceError(
                    f"cannot load the cross-encoder {str(model)!r}: expected a model's name on the Hugging "
                    f"Face Hub or in its local cache, or a local folder. Got: {error}"
                ) from error
        if not _has_trained_head(loaded):
            raise ConfigError(
                f"{self!r} is no cross-encoder: its weights are those of {loaded.config.architectures[0]}, "
                "so that its scores would be random; expected a model for sequence classification, such as "
                "'cross-encoder/ms-marco-MiniLM-L6-v2'"
            )
        return loaded


def _labels(model: Any) -> str:
    """The names of a model's labels by their numbers, or the numbers alone."""
    names = getattr(model.config, "id2label", {})
    return str(names) if len(names) == model.num_labels else f"0 to {model.num_labels - 1}"


def _has_trained_head(model: Any) -> bool:
    """Whether the weights on disk held the layer that scores.

    Where they do not, sentence-transformers puts a random layer on top of what it finds and only logs it. A
    model of further modules brings its own.
    """
    parts = [name for name, _ in model.named_children() if name != "activation_fn"]
    names = model.config.architectures
    return len(parts) > 1 or not names or any(name.endswith("ForSequenceClassification") for name in names)
