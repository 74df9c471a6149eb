"""Every cause by its code: what it means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CAUSES", "FLAGS", "Cause"]


@dataclass(frozen=True, slots=True)
class Cause:
    """A named cause.

    Attributes:
        code: ``stage.cause``.
        meaning: what is wrong, in one sentence.
        remedy: what to do about it, in one sentence.
    """

    code: str
    meaning: str
    remedy: str


def _by_code(*causes: Cause) -> Mapping[str, Cause]:
    return {cause.code: cause for cause in causes}


CAUSES: Mapping[str, Cause] = _by_code(
    Cause(
        "ingest.missing",
        "The documents do not hold the source's text.",
        "Mend the loader or the parser, and ingest the source again.",
    ),
    Cause(
        "ingest.invalid_label",
        "The evidence is marked at the wrong place: it is blank, or begins or ends inside a word.",
        "Anchor the evidence anew, by quotes, in the text that was ingested.",
    ),
    Cause(
        "chunker.dropped_text",
        "No chunk holds the text.",
        "Let the chunker keep all text: short passages, headings and the last piece too.",
    ),
    Cause(
        "chunker.too_small",
        "The evidence is longer than any chunk.",
        "Make chunks larger than the evidence.",
    ),
    Cause(
        "chunker.split",
        "The evidence is cut across chunks that do not come together.",
        "Let chunks overlap, or cut at sentences and headings.",
    ),
    Cause(
        "chunker.oversize",
        "The chunk is so long that its one vector says little of the evidence.",
        "Make chunks smaller, or embed small children of large parents.",
    ),
    Cause(
        "chunker.duplicates",
        "Chunks with the same text take the places of others.",
        "Index each text once, or keep the best of equal hits.",
    ),
    Cause(
        "embedder.truncated",
        "The evidence lies beyond what the embedder reads of its chunk.",
        "Make chunks smaller than the embedder's input limit.",
    ),
    Cause(
        "embedder.missing_prompt",
        "The model is used without the prompt that it was trained with.",
        "Set the model's prompts for queries and documents.",
    ),
    Cause(
        "embedder.orphan_context",
        "The chunk does not say what it is about; with its heading it is found.",
        "Put the heading path or the title before the text that is embedded.",
    ),
    Cause(
        "embedder.crowding",
        "Near-copies of each other fill the candidates.",
        "Index near-copies once, or diversify the candidates.",
    ),
    Cause(
        "embedder.near_duplicates",
        "Near-copies of the evidence's own chunk, without the evidence, rank before it.",
        "Embed what tells the near-copies apart, or filter by metadata.",
    ),
    Cause(
        "embedder.hubs",
        "Chunks that are near to a great many queries rank before it.",
        "Normalize or center the vectors, or use another model.",
    ),
    Cause(
        "embedder.numbers_or_entities",
        "The vector hardly changes when the numbers or names of the evidence do.",
        "Add a lexical arm, or filter by the number or name.",
    ),
    Cause(
        "embedder.depth",
        "The chunk ranks just beyond the candidates.",
        "Raise the number of candidates.",
    ),
    Cause(
        "embedder.lexical_gap",
        "A search by words has the chunk among its candidates, the vectors have not.",
        "Add a BM25 arm and fuse the two.",
    ),
    Cause(
        "embedder.anisotropy",
        "All vectors point the same way, so that scores hardly differ.",
        "Center the vectors, or use another model.",
    ),
    Cause(
        "embedder.ranked_low",
        "The embedder ranks the chunk beyond the candidates.",
        "Try another embedder, a lexical arm, or more candidates with a reranker.",
    ),
    Cause(
        "retriever.filter",
        "The query's filter leaves the evidence out.",
        "Mend the filter, or the metadata that it looks at.",
    ),
    Cause(
        "retriever.missing_from_index",
        "The chunk is not in the index.",
        "Index it again, and compare the numbers of chunks and of entries.",
    ),
    Cause(
        "retriever.stale_vectors",
        "The index holds another vector for the chunk than the embedder makes now.",
        "Embed and index again what was changed.",
    ),
    Cause(
        "retriever.metric",
        "The index compares vectors in another way than the embedder is meant to be compared.",
        "Build the index with the embedder's similarity, or normalize the vectors.",
    ),
    Cause(
        "retriever.threshold",
        "The score lies under the retriever's threshold.",
        "Lower the threshold, or leave it out.",
    ),
    Cause(
        "retriever.fusion",
        "One of the fused searches has the chunk, the fused list has not.",
        "Change the weights of the fusion, or fuse deeper lists.",
    ),
    Cause(
        "retriever.unreachable",
        "The index does not even return the chunk for its own vector.",
        "Search wider, or build the index with more links or fewer lists.",
    ),
    Cause(
        "retriever.approximate",
        "An exact search finds the chunk, the approximate one does not look where it is.",
        "Search wider (efSearch, nprobe), or exactly.",
    ),
    Cause(
        "retriever.missed",
        "An exact search finds the chunk, the real one does not.",
        "Compare the retriever with an exact search.",
    ),
    Cause(
        "reranker.truncated",
        "The evidence lies beyond what the reranker reads of its chunk.",
        "Give the reranker shorter texts, or the best window of each.",
    ),
    Cause(
        "reranker.phantom",
        "Texts that the reranker puts first for a great many queries stand before it.",
        "Use another reranker, or leave those texts out.",
    ),
    Cause(
        "reranker.ties",
        "The reranker gives the same score to texts on both sides of the cut.",
        "Use scores of more digits, or break ties by the retriever's order.",
    ),
    Cause(
        "reranker.demoted",
        "The chunk was within the top k before the reranker.",
        "Leave the reranker out, or use another one.",
    ),
    Cause(
        "reranker.not_promoted",
        "The chunk was among the candidates, and the reranker left it below the top k.",
        "Use another reranker, or raise k.",
    ),
    Cause(
        "packer.cut",
        "The chunk is in the context, shortened.",
        "Raise the budget, or leave out whole chunks in place of shortening them.",
    ),
    Cause(
        "packer.deduplicated",
        "The chunk was dropped as a repeat of one that does not hold the evidence.",
        "Raise the threshold for repeats.",
    ),
    Cause(
        "packer.miscount",
        "By the packer's own count of tokens there was room for the chunk.",
        "Count tokens as the model does.",
    ),
    Cause(
        "packer.overflow",
        "The context takes more tokens than the budget.",
        "Count tokens as the model does, and keep to the budget.",
    ),
    Cause(
        "packer.budget",
        "Chunks before it used the budget up.",
        "Raise the budget, or make chunks smaller.",
    ),
    Cause(
        "packer.cutoff",
        "The packer keeps fewer chunks than it is given, and this one came too late.",
        "Let the packer keep more chunks.",
    ),
    Cause(
        "packer.dropped",
        "The packer left the chunk out.",
        "Look at what the packer leaves out, and why.",
    ),
    Cause(
        "capacity.k",
        "The chunks that the evidence needs are more than k.",
        "Raise k, or make chunks larger.",
    ),
    Cause(
        "capacity.budget",
        "The chunks that the evidence needs take more tokens than the budget.",
        "Raise the budget, or make chunks smaller.",
    ),
)
"""What losses are called by. Within a stage the more particular causes come first."""

FLAGS: Mapping[str, Cause] = _by_code(
    Cause(
        "packer.middle",
        "The evidence is delivered in the middle third of the context, where models read least well.",
        "Put the best chunks first and last.",
    ),
)
"""What is worth knowing of delivered evidence; no loss is charged for it."""
