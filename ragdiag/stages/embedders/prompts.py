"""The prompts that families of models were trained with, where a model's own files often do not name them.

Each is that of the models' cards, for searching passages by questions:

    E5              https://huggingface.co/intfloat/e5-base-v2
    E5, GTE with instructions
                    https://huggingface.co/intfloat/multilingual-e5-large-instruct
                    https://huggingface.co/Alibaba-NLP/gte-Qwen2-7B-instruct
    BGE             https://huggingface.co/BAAI/bge-base-en-v1.5 (and -zh-)
    mxbai, UAE      https://huggingface.co/mixedbread-ai/mxbai-embed-large-v1, WhereIsAI/UAE-Large-V1
    Arctic          https://huggingface.co/Snowflake/snowflake-arctic-embed-m (and -v2.0)
    Nomic           https://huggingface.co/nomic-ai/nomic-embed-text-v1.5
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

__all__ = ["Side", "prompts_of_family"]

Side: TypeAlias = Literal["query", "document"]

_SEARCHING = "Represent this sentence for searching relevant passages: "
_INSTRUCTION = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "

# By what a model's name holds; the first that fits.
_FAMILIES: Mapping[str, Mapping[Side, str]] = {
    r"(e5|gte)-.*instruct": {"query": _INSTRUCTION},
    r"e5-(small|base|large)": {"query": "query: ", "document": "passage: "},
    r"bge-(small|base|large)-en": {"query": _SEARCHING},
    r"bge-(small|base|large)-zh": {"query": "为这个句子生成表示以用于检索相关文章："},  # noqa: RUF001  # its own colon
    r"mxbai-embed-large|uae-large": {"query": _SEARCHING},
    r"arctic-embed-.*v2": {"query": "query: "},
    r"arctic-embed-": {"query": _SEARCHING},
    r"nomic-embed-text": {"query": "search_query: ", "document": "search_document: "},
}


def prompts_of_family(model: str) -> Mapping[Side, str]:
    """The prompts by side that a model of this name or path was trained with; none where none are known.

    Example:
        >>> prompts_of_family("intfloat/multilingual-e5-small")
        {'query': 'query: ', 'document': 'passage: '}
        >>> prompts_of_family("all-MiniLM-L6-v2")
        {}
    """
    name = re.split(r"[\\/]+(?=.*\w)", model)[-1].casefold()
    return next((prompts for family, prompts in _FAMILIES.items() if re.search(family, name)), {})
