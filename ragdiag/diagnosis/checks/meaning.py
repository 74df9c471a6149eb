"""What does the vector miss? Checks that embed texts anew, or search by words.

Each mends one thing (the prompt, the heading) or takes another way (words) and asks for the chunk's rank
then; for numbers and names it asks how much of the score hangs on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.checks.places import Place, place_of, rank_among, rank_by_vectors
from ragdiag.diagnosis.checks.swaps import Kind, kinds_of_words, other_number, swap
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.records import Request
from ragdiag.stages.chunkers.titles import BETWEEN_TITLES, Titles
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.retrievers.bm25 import BM25Retriever, tokenize_words
from ragdiag.stages.similarity import exact_scores

__all__ = ["CHECKS"]

# An embedder that says that it lacks its prompt is worth some texts: a test's chunks, not a warehouse's.
_TEXTS_A_LOSS = 30
_LEAST_SHARED = 2  # words: by one alone BM25 may have it by chance, as "we" is rare where few texts say it

# Of the movement that an ordinary word makes: a number that makes a quarter of it is hardly seen.
_HARDLY = 0.25
_LEAST_MOVEMENT = 1e-3  # of a score: where even ordinary words move it less, nothing can be compared
_COMMON = 0.2  # of the chunks: a word that more of them hold is a function word, which moves no score
_LEAST_LENGTH = 2  # characters: the same digit in two texts is mostly not the same thing
_MOST_SWAPPED = 3  # words: more would make another text of it


def missing_prompt(bench: Bench, loss: Loss) -> Finding | None:
    """With the prompt that its model was trained with, it is among the candidates.

    The exact search is made again with the prompts. A prompt of documents changes all vectors: where they are
    too many to be made anew, it is put before the chunk and the last of the candidates alone, which proves
    nothing.
    """
    prompts: Mapping[str, str] | None = getattr(bench.index.pipeline.embedder, "unused_prompts", None)
    place = place_of(bench, loss)
    if prompts is None:
        raise NotApplicable("the embedder does not declare the prompts that its model was trained with")
    if place is None:
        return None
    query, document = prompts.get("query", ""), prompts.get("document", "")

    def embed(rows: Iterable[int]) -> Vectors:
        return bench.embed_documents([document + bench.chunk(row).index_text for row in rows])

    vector, put = bench.query_vector(loss.query), []
    if query:
        vector = bench.embed_queries([query + loss.query.text])[0]
        put.append(f"{query!r} before the query")
    if query and not document:
        return _with_prompts(bench, place, vector, bench.vectors, put)
    if not document:
        return None
    put.append(f"{document!r} before documents")
    if _is_affordable(bench, place):
        vectors = bench.once("vectors with the prompt", lambda: embed(range(place.total)))
        return _with_prompts(bench, place, vector, vectors, put)
    *own, rival = exact_scores(
        vector, embed([*place.chunks, int(place.before[place.n - 1])]), bench.similarity
    ).tolist()
    if min(own) <= rival:
        return None
    observation = (
        f"It has {place}. With the model's own prompt {' and '.join(put)} it scores {min(own):.3f} "
        f"and the last of the candidates {rival:.3f}; no other chunk was embedded anew."
    )
    return Finding("embedder.missing_prompt", observation, "suspected")


def _with_prompts(
    bench: Bench, place: Place, vector: NDArray[np.float32], vectors: Vectors, put: Sequence[str]
) -> Finding | None:
    """The finding that prompts bring the unit among the candidates; None where they do not."""
    rank = rank_by_vectors(vector, vectors, place.chunks, bench.similarity)
    if rank > place.n:
        return None
    observation = (
        f"It has {place}. With the model's own prompt {' and '.join(put)} it has rank {rank:,}: an "
        "exact search has it among its candidates."
    )
    return Finding("embedder.missing_prompt", observation, "proven")


def _is_affordable(bench: Bench, place: Place) -> bool:
    """Whether all chunks may be embedded once more, for all losses of the embedder together."""
    losses = sum("embedder" in loss.verdict.blamed for loss in bench.losses)
    return place.total <= _TEXTS_A_LOSS * losses


def orphan_context(bench: Bench, loss: Loss) -> Finding | None:
    """With the titles above it put before its text, it is among the candidates; with others it is not."""
    place = place_of(bench, loss)
    if place is None:
        return None
    above = {chunk: _titles_above(bench, chunk) for chunk in place.chunks}
    if not any(above.values()):
        raise NotApplicable("neither headings stand above the chunk, nor has its document a title")
    if all(title in bench.chunk(chunk).index_text for chunk, titles in above.items() for title in titles):
        return None
    rank = _rank_under(bench, loss, place, above)
    if rank > place.n:
        return None
    observation = (
        f"It has {place}. With {BETWEEN_TITLES.join(above[place.last])!r}, which stands above it, put "
        f"before its text it has rank {rank:,}"
    )
    strange = _strange_titles(bench, place, above)
    if strange:
        placebo = _rank_under(bench, loss, place, dict.fromkeys(place.chunks, strange))
        if placebo <= place.n:
            return None  # any words would do
        observation += f" (with {BETWEEN_TITLES.join(strange)!r}, from elsewhere, {placebo:,})"
    observation += ": an exact search has it among its candidates."
    return Finding("embedder.orphan_context", observation, "proven")


def _titles_above(bench: Bench, position: int) -> tuple[str, ...]:
    span = bench.chunk(position).spans[0]
    document = bench.index.documents_by_id[span.doc_id]
    return bench.once(("titles", document.id), lambda: Titles.of(document)).above(span.start)


def _elsewhere(position: int, total: int) -> Iterator[int]:
    """All chunks but one, beginning half the corpus away from it, where other things are likely spoken of."""
    return ((position + total // 2 + i) % total for i in range(total) if (total // 2 + i) % total)


def _rank_under(bench: Bench, loss: Loss, place: Place, titles: Mapping[int, Sequence[str]]) -> int:
    """The rank of the unit were its chunks embedded with titles before them."""
    texts = [
        "\n".join(filter(None, [BETWEEN_TITLES.join(titles[chunk]), bench.chunk(chunk).index_text]))
        for chunk in place.chunks
    ]
    return _rank_with(bench, loss, place.chunks, bench.embed_documents(texts))


def _rank_with(bench: Bench, loss: Loss, chunks: Sequence[int], vectors: Vectors) -> int:
    """The rank of the unit had its chunks these vectors."""
    scores = bench.scores(loss.query).copy()
    scores[list(chunks)] = exact_scores(bench.query_vector(loss.query), vectors, bench.similarity)
    return rank_among(scores, chunks)


def _strange_titles(bench: Bench, place: Place, above: Mapping[int, Sequence[str]]) -> tuple[str, ...]:
    """The titles above a chunk of quite another place; none where all chunks stand under the same."""
    own = {title for titles in above.values() for title in titles}
    found = (_titles_above(bench, other) for other in _elsewhere(place.last, place.total))
    return next((titles for titles in found if titles and own.isdisjoint(titles)), ())


def lexical_gap(bench: Bench, loss: Loss) -> Finding | None:
    """A search by words has it among its candidates."""
    place = place_of(bench, loss)
    if place is None:
        return None
    hits = _found_by_words(bench, loss)
    scores = bench.scores(loss.query)
    missed = [chunk for chunk in place.chunks if rank_among(scores, [chunk]) > place.n]
    if not hits.keys() >= set(missed):
        return None
    rank = max(hits[chunk] for chunk in missed)
    asked = set(tokenize_words(loss.query.text))
    shared = asked.intersection(tokenize_words(bench.chunk(place.last).index_text))
    if len(shared) < min(_LEAST_SHARED, len(asked)):
        return None
    observation = (
        f"By vectors it has {place}; BM25 over the same chunks has it at rank {rank:,}, by {len(shared)} of "
        f"the query's {len(asked)} words."
    )
    return Finding("embedder.lexical_gap", observation, "measured")


def _found_by_words(bench: Bench, loss: Loss) -> dict[int, int]:
    """The rank of each chunk that BM25 has among its candidates, without the query's filter."""
    searcher = bench.once("BM25", lambda: BM25Retriever().build(bench.trace.chunks))
    request = Request(loss.query.id, loss.query.text)
    hits = bench.search_in(searcher, request, bench.trace.candidates)
    return {position: rank for rank, position in enumerate(bench.trace.positions(hits), start=1)}


def numbers_or_entities(bench: Bench, loss: Loss) -> Finding | None:
    """Its score hardly hangs on the numbers or the names that the query names, and others lack them.

    The numbers are swapped for others, the names, and some ordinary words that it shares with the query: the
    movements of the score are compared, a word each.
    """
    place = place_of(bench, loss)
    if place is None:
        return None
    text = bench.chunk(place.last).index_text
    kinds = kinds_of_words(loss.query.text)
    shared: dict[Kind, list[str]] = {"number": [], "name": [], "ordinary": []}
    for word in _kinds(bench, place.last):
        if word in kinds and len(word) >= _LEAST_LENGTH:
            shared[kinds[word]].append(word)
    if not shared["number"] and not shared["name"]:
        raise NotApplicable("the query names no number or name that the chunk holds")
    frequency = _frequencies(bench)
    rare = [word for word in shared["ordinary"] if frequency[word] <= max(1, _COMMON * place.total)]
    if not rare:
        raise NotApplicable("the query shares no ordinary words with the chunk to compare with")
    shared["ordinary"] = sorted(rare, key=lambda word: (frequency[word], word))
    groups = [words[:_MOST_SWAPPED] for words in shared.values() if words]
    swapped = [swap(text, {w: _another(bench, place, w, kinds) for w in words}) for words in groups]
    score = float(bench.scores(loss.query)[place.last])
    scores = exact_scores(bench.query_vector(loss.query), bench.embed_documents(swapped), bench.similarity)
    *special, (ordinary, of_ordinary) = (
        (words, (score - float(new)) / len(words)) for words, new in zip(groups, scores, strict=True)
    )
    if of_ordinary < _LEAST_MOVEMENT * max(1.0, abs(score)):
        return None
    for words, movement in special:
        if abs(movement) > _HARDLY * of_ordinary or (holders := _holders(bench, place, words)) >= place.n:
            continue
        observation = (
            f"It has {place}, and {holders:,} of the {place.rank - 1:,} before it hold {_listed(words)}. "
            f"Swapping {_listed(words)} for others moves its score of {score:.3f} by {abs(movement):.4f} a "
            f"word, swapping {_listed(ordinary)} by {of_ordinary:.4f}."
        )
        return Finding("embedder.numbers_or_entities", observation, "measured")
    return None


def _listed(words: Sequence[str]) -> str:
    return " and ".join(map(repr, words))


def _kinds(bench: Bench, row: int) -> Mapping[str, Kind]:
    """The words of a chunk with their kinds; every check of a name looks at many chunks."""
    return bench.once(("kinds of words", row), lambda: kinds_of_words(bench.chunk(row).index_text))


def _frequencies(bench: Bench) -> Counter[str]:
    """How many chunks hold each word."""

    def count() -> Counter[str]:
        return Counter(word for row in range(len(bench.trace.chunks)) for word in _kinds(bench, row))

    return bench.once("word frequencies", count)


def _holders(bench: Bench, place: Place, words: Sequence[str]) -> int:
    """How many of the chunks before it hold all of some words."""

    def holds(row: int) -> bool:
        return _kinds(bench, row).keys() >= set(words)

    return sum(map(holds, place.before.tolist()))


def _another(bench: Bench, place: Place, word: str, kinds: Mapping[str, Kind]) -> str:
    """A word of the same kind that neither the query nor the chunk holds, from elsewhere in the corpus."""
    if kinds[word] == "number":
        return other_number(word)
    known = _kinds(bench, place.last).keys() | kinds.keys()
    for row in _elsewhere(place.last, place.total):
        for other, kind in _kinds(bench, row).items():
            if kind == kinds[word] and other not in known:
                return other
    return word[::-1]


CHECKS: tuple[Check, ...] = (
    Check("embedder.missing_prompt", missing_prompt, ("embedder",)),
    Check("embedder.orphan_context", orphan_context, ("embedder",)),
    Check("embedder.numbers_or_entities", numbers_or_entities, ("embedder",)),
    Check("embedder.lexical_gap", lexical_gap, ("embedder",)),
)
