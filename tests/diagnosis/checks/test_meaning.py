"""Causes that lie in what a vector says: each planted in an embedder of words, and its look-alikes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from faults.broken_stages import ForeignEmbedder, NoisyEmbedder
from faults.laboratory import (
    Laboratory,
    WordEmbedder,
    delivered,
    examine,
    laboratory,
    of_length_one,
    word_vector,
)
from plugs import LineChunker
from rank_bm25 import BM25Okapi

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, HybridRetriever, Pipeline, diagnose
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.checks.swaps import kinds_of_words, swap
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.records import Chunk, Document, Evidence, Query, Span
from ragdiag.stages.embedders.prompts import prompts_of_family
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.similarity import exact_scores

DIMENSIONS = 512


@dataclass(frozen=True)
class Reader:
    """A text is the sum of its words' random directions: of all that it does not overlook.

    Args:
        overlooked: what it does not see in documents, as a pattern of whole words.
        blurred: texts with this word get a vector that has to do with nothing.
    """

    overlooked: str = r"(?!)"
    blurred: str | None = None

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        rows = [
            word_vector(text, DIMENSIONS, 9) if self.blurred and self.blurred in text else self.read(text)
            for text in texts
        ]
        return np.array(rows, np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([Reader().read(text) for text in texts], np.float32)

    def read(self, text: str) -> Any:
        words = [word for word in re.findall(r"[\w-]+", text) if not re.fullmatch(self.overlooked, word)]
        return of_length_one(np.sum([word_vector(w.lower(), DIMENSIONS, 0) for w in words], axis=0))


@dataclass(frozen=True)
class LinesUnder:
    """A chunk a line, with what a function of the line's place says put before what is embedded."""

    titles: Mapping[str, str] = field(default_factory=dict)

    def chunk(self, document: Document) -> list[Chunk]:
        lines = [line for line in LineChunker().chunk(document) if not line.text.startswith("#")]
        return [replace(c, index_text=self.titles.get(c.text, "") + c.text) for c in lines]


def ask(
    texts: Sequence[str | Document],
    question: str,
    gold: str,
    *,
    n: int,
    embedder: Any,
    **stages: Any,
) -> Diagnosis:
    """One query for the line ``gold``."""
    documents = [t if isinstance(t, Document) else Document(f"d{i}", t) for i, t in enumerate(texts)]
    [place] = [document for document in documents if gold in document.text]
    query = Query("q0", question, [Evidence.of(Span.find(place, gold))])
    pipeline = Pipeline(
        **{
            "chunker": LineChunker(),
            "embedder": embedder,
            "retriever": ExactRetriever(),
            "top_k": n,
            **stages,
        }
    )
    return diagnose(pipeline, documents, [query], progress=False)


def found(diagnosis: Diagnosis, code: str) -> list[Finding]:
    """Every finding with this code; something is lost, and to the embedder."""
    lost = [verdict for verdict in diagnosis.verdicts if verdict is not None]
    assert lost
    assert {verdict.stage for verdict in lost} == {"embedder"}
    return [finding for verdict in lost for finding in verdict.findings if finding.code == code]


def rows(diagnosis: Diagnosis) -> list[Any]:
    """The table of lost units, row by row."""
    return list(diagnosis.failures.itertuples())


def status(diagnosis: Diagnosis, code: str) -> CheckOutcome:
    [wanted] = [outcome for outcome in diagnosis.checks if outcome.code == code]
    return wanted


# missing_prompt


@dataclass(frozen=True)
class PromptedEmbedder(WordEmbedder):
    """A model whose two sides speak different languages, unless each text begins with its side's prompt."""

    query_prompt: str = ""
    document_prompt: str = ""
    own: Mapping[str, str] = field(default_factory=dict)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self.query_prompt + text for text in texts], self.own.get("query", ""), 1)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self.document_prompt + text for text in texts], self.own.get("document", ""), 2)

    def _embed(self, texts: Sequence[str], prompt: str, dialect: int) -> Vectors:
        rows = [self.vector(t.removeprefix(prompt), 0 if t.startswith(prompt) else dialect) for t in texts]
        return np.array(rows, np.float32)

    @property
    def unused_prompts(self) -> dict[str, str]:
        in_force = {"query": self.query_prompt, "document": self.document_prompt}
        return {side: prompt for side, prompt in self.own.items() if not in_force[side]}


SIDES = {"query": "query: ", "document": "passage: "}
PUT = {
    ("query",): "'query: ' before the query",
    ("document",): "'passage: ' before documents",
    ("query", "document"): "'query: ' before the query and 'passage: ' before documents",
}


def prompted(*sides: str, few: bool = False) -> tuple[Laboratory, Laboratory]:
    """A laboratory whose model lacks its prompts on these sides, and the one where it has them."""
    model = PromptedEmbedder(own={side: SIDES[side] for side in sides})
    own = replace(
        model, query_prompt=model.own.get("query", ""), document_prompt=model.own.get("document", "")
    )
    healthy = laboratory("full", 0, at_most=1)
    healthy = replace(healthy, queries=healthy.queries[:4]) if few else healthy
    return healthy.using(embedder=model), healthy.using(embedder=own)


@pytest.mark.parametrize("sides", PUT, ids="+".join)
def test_prompts_that_bring_it_back_are_proven_to_be_missing(sides: tuple[str, ...]) -> None:
    broken, mended = prompted(*sides)
    casualties = delivered(mended) - delivered(broken)
    diagnosis = examine(broken)
    trace = mended.pipeline.run(broken.documents, broken.queries, progress=False)
    lost = [verdict for verdict in diagnosis.verdicts if verdict is not None]
    assert len(found(diagnosis, "embedder.missing_prompt")) == len(lost) == len(casualties) >= 10
    assert {verdict.cause for verdict in lost} == {"missing_prompt"}
    for row, verdict in zip(rows(diagnosis), lost, strict=True):
        # The rank that the mended pipeline's own exact search gives to the chunk.
        span = broken.facts[row.query_id, row.unit].span
        ranked = [trace.chunks[p].spans[0] for p in trace.positions(trace[row.query_id].retrieved)]
        assert verdict.findings[0] == Finding(
            "embedder.missing_prompt",
            f"It has rank {row.rank_exact} of 144 chunks, 12 candidates. With the model's own prompt "
            f"{PUT[sides]} it has rank {ranked.index(span) + 1}: an exact search has it among "
            "its candidates.",
            "proven",
        )


@pytest.mark.parametrize("sides", [("document",), ("query", "document")], ids="+".join)
def test_where_documents_are_too_many_to_embed_anew_their_prompt_is_suspected(sides: tuple[str, ...]) -> None:
    broken, mended = prompted(*sides, few=True)
    diagnosis = examine(broken)
    findings = found(diagnosis, "embedder.missing_prompt")
    assert len(findings) == len(diagnosis.failures) == len(delivered(mended) - delivered(broken)) >= 2
    row = rows(diagnosis)[0]
    query = next(query for query in broken.queries if query.id == row.query_id)
    before, after = broken.pipeline.embedder, mended.pipeline.embedder
    assert before is not None
    assert after is not None
    chunks = [chunk for document in broken.documents for chunk in LineChunker().chunk(document)]
    vectors = before.embed_documents([chunk.text for chunk in chunks])
    [vector] = before.embed_queries([query.text])
    last = chunks[int(np.argsort(-exact_scores(vector, vectors, "cosine"))[11])].text
    [text] = [c.text for c in chunks if c.spans == (broken.facts[row.query_id, row.unit].span,)]
    [vector] = after.embed_queries([query.text])
    own, rival = exact_scores(vector, after.embed_documents([text, last]), "cosine")
    assert findings[0] == Finding(
        "embedder.missing_prompt",
        f"It has rank {row.rank_exact} of 144 chunks, 12 candidates. With the model's own prompt "
        f"{PUT[sides]} it scores {own:.3f} and the last of the candidates {rival:.3f}; no other chunk "
        "was embedded anew.",
        "suspected",
    )


@dataclass(frozen=True)
class UnpromptedNoise(NoisyEmbedder):
    """Prompts would change nothing: what is wrong is something else."""

    unused_prompts: Mapping[str, str] = field(default_factory=dict)


@pytest.mark.parametrize("prompts", [{}, {"query": "0 ", "document": "1 "}], ids=["none", "useless"])
def test_a_prompt_that_brings_nothing_back_is_silent(prompts: Mapping[str, str]) -> None:
    healthy = laboratory("full", 0)
    marked = healthy.some_keys(0.3, 0)
    diagnosis = examine(healthy.using(embedder=UnpromptedNoise(marked=marked, unused_prompts=prompts)))
    lost = len(diagnosis.failures)
    # A text with a prompt gets a noise of its own, which may be nearer to the query by chance.
    assert len(found(diagnosis, "embedder.missing_prompt")) <= (0.3 * lost if prompts else 0)
    assert status(diagnosis, "embedder.missing_prompt").looked_at == lost


def test_a_prompt_of_documents_that_brings_one_chunk_nothing_is_silent() -> None:
    healthy = laboratory("full", 0, at_most=1)
    healthy = replace(healthy, queries=healthy.queries[:4])
    model = UnpromptedNoise(
        marked=healthy.some_keys(1.0, 0), unused_prompts={"document": "moves keeps holds needs brings "}
    )
    diagnosis = examine(healthy.using(embedder=model))
    assert len(found(diagnosis, "embedder.missing_prompt")) < len(diagnosis.failures)


def test_what_the_model_does_not_read_is_not_for_want_of_a_prompt() -> None:
    model = PromptedEmbedder(max_tokens=14)
    assert model.unused_prompts == {}
    diagnosis = examine(laboratory("paragraphs", 0, at_most=1).using(embedder=model))
    assert [v.cause for v in diagnosis.verdicts if v is not None].count("truncated") >= 3
    assert status(diagnosis, "embedder.missing_prompt").status == "silent"


def test_an_embedder_that_declares_no_prompts_cannot_be_told() -> None:
    diagnosis = examine(laboratory("full", 0).using(embedder=ForeignEmbedder()))
    assert found(diagnosis, "embedder.missing_prompt") == []
    assert status(diagnosis, "embedder.missing_prompt") == CheckOutcome(
        "embedder.missing_prompt",
        "not applicable",
        0,
        0,
        "the embedder does not declare the prompts that its model was trained with",
    )


@pytest.mark.parametrize(
    ("model", "query", "document"),
    [
        ("intfloat/e5-base-v2", "query: ", "passage: "),
        ("C:\\models\\multilingual-E5-large\\", "query: ", "passage: "),
        ("intfloat/e5-mistral-7b-instruct", "Instruct: Given a web search query", ""),
        ("Alibaba-NLP/gte-Qwen2-7B-instruct", "Instruct: Given a web search query", ""),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching", ""),
        ("BAAI/bge-large-zh-v1.5", "为这个句子生成表示", ""),
        ("BAAI/bge-m3", "", ""),
        ("mixedbread-ai/mxbai-embed-large-v1", "Represent this sentence", ""),
        ("Snowflake/snowflake-arctic-embed-m", "Represent this sentence", ""),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("nomic-ai/nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("bge-small-en-trials/all-MiniLM-L6-v2", "", ""),
    ],
)
def test_families_of_models_are_known_by_name(model: str, query: str, document: str) -> None:
    prompts = prompts_of_family(model)
    assert prompts.get("query", "").startswith(query)
    assert bool(prompts.get("query")) == bool(query)
    assert prompts.get("document", "") == document


@pytest.mark.minilm
@pytest.mark.parametrize(
    ("configured", "given", "unused"),
    [
        ({"query": "q: ", "passage": "p: "}, {}, {}),
        ({"query": "q: ", "passage": "p: "}, {"query_prompt": ""}, {"query": "q: "}),
        ({"query": "q: "}, {"query_prompt": "mine: "}, {}),
        ({}, {}, {"query": "query: ", "document": "passage: "}),
        ({}, {"document_prompt": "passage: "}, {"query": "query: "}),
    ],
)
def test_a_sentence_transformer_declares_the_prompts_that_it_does_not_use(
    tmp_path: Any, configured: dict[str, str], given: dict[str, Any], unused: dict[str, str]
) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers (torch) is not installed")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    from ragdiag import SentenceTransformerEmbedder

    module = StaticEmbedding(
        Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")),  # noqa: S106  # no secret
        embedding_weights=np.ones((1, 2), np.float32),
    )
    SentenceTransformer(modules=[module], prompts=configured or None).save(str(tmp_path / "my-e5-small"))
    assert SentenceTransformerEmbedder(tmp_path / "my-e5-small", **given).unused_prompts == unused


# orphan_context

MACHINES = ["falcon", "osprey", "heron", "kestrel", "merlin", "plover", "curlew", "dunlin"]
AMOUNTS = ["ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty"]
DEPOSITS = [f"A deposit of {amount} euros is due." for amount in AMOUNTS]
GUIDES = [
    f"# Model {machine}\n\n{deposit}\n\nIt is painted {amount} times."
    for machine, deposit, amount in zip(MACHINES, DEPOSITS, AMOUNTS, strict=True)
]
SENTENCES = [line for guide in GUIDES for line in guide.split("\n") if line and line[0] != "#"]


def question_about(machine: str) -> str:
    return f"which deposit is due for the {machine}"


def ranks(question: str, texts: Sequence[str], embedder: Any = Reader()) -> list[int]:  # frozen
    """The rank of each text by cosine, in numpy."""
    scores = embedder.embed_documents(texts) @ embedder.embed_queries([question])[0]
    order = np.argsort(-scores, kind="stable").tolist()
    return [order.index(i) + 1 for i in range(len(texts))]


def rank_at(question: str, text: str, changed: str, texts: Sequence[str]) -> int:
    """The rank of a text, changed, among the others."""
    at = texts.index(text)
    return ranks(question, [*texts[:at], changed, *texts[at + 1 :]])[at]


# The one whose deposit ranks lowest for the question about it.
LOWEST = max(
    range(len(MACHINES)),
    key=lambda i: rank_at(question_about(MACHINES[i]), DEPOSITS[i], DEPOSITS[i], SENTENCES),
)
MACHINE, DEPOSIT, QUESTION = MACHINES[LOWEST], DEPOSITS[LOWEST], question_about(MACHINES[LOWEST])


def under_headings(**options: Any) -> Diagnosis:
    return ask(
        GUIDES,
        gold=DEPOSIT,
        **{"question": QUESTION, "n": 2, "embedder": Reader(), "chunker": LinesUnder(), **options},
    )


def test_a_chunk_that_does_not_say_what_it_is_about() -> None:
    diagnosis = under_headings()
    own, bare = f"Model {MACHINE}\n{DEPOSIT}", rank_at(QUESTION, DEPOSIT, DEPOSIT, SENTENCES)
    assert bare > 2
    assert rank_at(QUESTION, DEPOSIT, own, SENTENCES) == 1
    [finding] = found(diagnosis, "embedder.orphan_context")
    said = re.fullmatch(
        rf"It has rank {bare} of 16 chunks, 2 candidates. With 'Model {MACHINE}', which stands above it, put "
        r"before its text it has rank 1 \(with '(Model \w+)', from elsewhere, (\d+)\): an exact search has "
        "it among its candidates.",
        finding.observation,
    )
    assert said is not None, finding.observation
    assert said[1] != f"Model {MACHINE}"
    assert int(said[2]) == rank_at(QUESTION, DEPOSIT, f"{said[1]}\n{DEPOSIT}", SENTENCES) > 2
    assert finding.sureness == "proven"
    assert diagnosis.failures["cause"].tolist() == ["orphan_context"]
    assert under_headings(chunker=LinesUnder({DEPOSIT: f"Model {MACHINE}\n"})).failures.empty


@dataclass(frozen=True)
class Sentences:
    """Lines that are sentences."""

    def chunk(self, document: Document) -> list[Chunk]:
        return [line for line in LineChunker().chunk(document) if line.text.endswith(".")]


@pytest.mark.parametrize(
    ("text", "metadata", "title"),
    [
        (DEPOSIT, {"title": f"Model {MACHINE}"}, f"Model {MACHINE}"),
        (f"\n Model {MACHINE} \n{DEPOSIT}", {}, f"Model {MACHINE}"),
        (f"Model {MACHINE}\n{DEPOSIT}", {"title": ""}, f"Model {MACHINE}"),
        (f"Model {MACHINE}\n{DEPOSIT}", {"title": 7}, None),
        (f"Model {MACHINE} is dear.\n{DEPOSIT}", {}, None),
        (f"{'Model ' * 30}{MACHINE}\n{DEPOSIT}", {}, None),
    ],
    ids=["metadata", "first line", "empty title", "odd title", "a sentence", "a long line"],
)
def test_the_title_may_stand_in_metadata_or_in_the_first_line(
    text: str, metadata: Any, title: str | None
) -> None:
    others = [Document(f"o{i}", guide) for i, guide in enumerate(GUIDES) if i != LOWEST]
    diagnosis = ask(
        [*others, Document("d", text, metadata)],
        QUESTION,
        DEPOSIT,
        n=2,
        embedder=Reader(),
        chunker=Sentences(),
    )
    said = [finding.observation for finding in found(diagnosis, "embedder.orphan_context")]
    if title is None:
        assert said == []
        assert status(diagnosis, "embedder.orphan_context").status == "not applicable"
    else:
        assert f"With '{title}', which stands above it, put before its text it has rank 1 (with" in said[0]


def test_a_chunk_that_names_its_heading_is_silent() -> None:
    diagnosis = under_headings(
        embedder=Reader(blurred=DEPOSIT), chunker=LinesUnder({DEPOSIT: f"Model {MACHINE}: "})
    )
    assert found(diagnosis, "embedder.orphan_context") == []
    assert status(diagnosis, "embedder.orphan_context").status == "silent"


def test_a_heading_that_does_not_suffice_is_silent() -> None:
    diagnosis = under_headings(embedder=Reader(blurred=DEPOSIT))
    assert found(diagnosis, "embedder.orphan_context") == []


@dataclass(frozen=True)
class BareBlind(Reader):
    """One text has a vector that has to do with nothing; any words before it mend that."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        sound = super().embed_documents(texts)
        for row, text in enumerate(texts):
            if text == DEPOSIT:
                sound[row] = word_vector(text, DIMENSIONS, 9)
        return sound


def test_a_heading_is_not_what_is_missing_where_any_other_would_do() -> None:
    diagnosis = under_headings(embedder=BareBlind(), n=8)
    assert found(diagnosis, "embedder.orphan_context") == []
    assert status(diagnosis, "embedder.orphan_context").status == "silent"


def test_without_headings_or_titles_it_cannot_be_told() -> None:
    diagnosis = ask(
        [guide.split("\n\n", 1)[1] for guide in GUIDES], QUESTION, DEPOSIT, n=2, embedder=Reader()
    )
    assert status(diagnosis, "embedder.orphan_context").why == (
        "neither headings stand above the chunk, nor has its document a title"
    )


def test_where_all_stand_under_one_title_there_is_no_other_to_compare_with() -> None:
    text = "\n".join(guide.split("\n\n", 1)[1] for guide in GUIDES)
    documents = [Document("d", text, {"title": f"Model {MACHINE}"})]
    diagnosis = ask(documents, QUESTION, DEPOSIT, n=2, embedder=Reader())
    [finding] = found(diagnosis, "embedder.orphan_context")
    assert "put before its text it has rank 1: an exact search has it" in finding.observation


# lexical_gap


def test_what_a_search_by_words_has_and_the_vectors_have_not() -> None:
    healthy = laboratory("full", 1)
    diagnosis = examine(healthy.using(embedder=NoisyEmbedder(marked=healthy.some_keys(0.4, 1))))
    findings = found(diagnosis, "embedder.lexical_gap")
    assert len(findings) == len(diagnosis.failures) >= 5
    lines = [chunk for document in healthy.documents for chunk in LineChunker().chunk(document)]
    oracle = BM25Okapi([re.findall(r"\w+", line.text.lower()) for line in lines])
    for row, finding in zip(rows(diagnosis), findings, strict=True):
        query = next(query for query in healthy.queries if query.id == row.query_id)
        words = re.findall(r"\w+", query.text.lower())
        span = healthy.facts[row.query_id, row.unit].span
        order = np.argsort(-oracle.get_scores(words), kind="stable").tolist()
        [at] = [i for i, line in enumerate(lines) if line.spans == (span,)]
        shared = set(words) & set(re.findall(r"\w+", lines[at].text.lower()))
        assert finding.observation == (
            f"By vectors it has rank {row.rank_exact} of 144 chunks, 12 candidates; BM25 over the same "
            f"chunks has it at rank {order.index(at) + 1}, by {len(shared)} of the query's "
            f"{len(set(words))} words."
        )
        assert finding.sureness == "measured"


def test_other_words_for_the_same_are_no_lexical_gap() -> None:
    diagnosis = under_headings(embedder=Reader(blurred=DEPOSIT), question="sum asked up front")
    assert found(diagnosis, "embedder.lexical_gap") == []
    assert status(diagnosis, "embedder.lexical_gap").status == "silent"


def test_by_one_common_word_of_many_it_is_found_by_chance() -> None:
    """BM25 has it first for "seventy", which only two texts hold; the others of the query hold no word."""
    diagnosis = under_headings(
        embedder=Reader(blurred=DEPOSIT), question=f"must {AMOUNTS[LOWEST]} sums be paid?"
    )
    assert found(diagnosis, "embedder.lexical_gap") == []
    diagnosis = under_headings(embedder=Reader(blurred=DEPOSIT), question=AMOUNTS[LOWEST])
    [finding] = found(diagnosis, "embedder.lexical_gap")
    assert finding.observation.endswith("by 1 of the query's 1 words.")


def test_where_words_are_searched_as_well_the_gap_is_closed() -> None:
    healthy = laboratory("full", 1)
    hybrid = HybridRetriever([ExactRetriever(), BM25Retriever()])
    broken = healthy.using(embedder=NoisyEmbedder(marked=healthy.some_keys(0.4, 1)), retriever=hybrid)
    assert {v.stage for v in examine(broken).verdicts if v is not None} <= {"retriever", "reranker"}


# numbers_or_entities

FEES = [f"The monthly fee for plan {10 + i} is {amount} pounds." for i, amount in enumerate(AMOUNTS * 2)]
PARKING = [f"Clause {chr(97 + i % 26)}{chr(97 + i // 26)} is about parking." for i in range(100)]


def question_of(plan: int) -> str:
    return f"What is the monthly fee for plan {plan}?"


def lowest_fee(embedder: Reader) -> tuple[int, int]:
    """The rank and the number of the fee that ranks lowest for the question about it."""
    return max((ranks(question_of(10 + i), [*FEES, *PARKING], embedder)[i], i) for i in range(len(FEES)))


def test_numbers_that_the_vector_does_not_hold() -> None:
    blind, texts = Reader(overlooked=r"\d+"), [*FEES, *PARKING]
    rank, at = lowest_fee(blind)
    question, gold = question_of(10 + at), FEES[at]
    diagnosis = ask(texts, question, gold, n=3, embedder=blind)
    [finding] = found(diagnosis, "embedder.numbers_or_entities")
    number = 10 + at
    said = re.fullmatch(
        rf"It has rank {rank} of 116 chunks, 3 candidates, and 0 of the {rank - 1} before it hold "
        rf"'{number}'\. Swapping '{number}' for others moves its score of ([\d.]+) by 0\.0000 a word, "
        r"swapping ('\w+'(?: and '\w+')*) by ([\d.]+)\.",
        finding.observation,
    )
    assert said is not None, finding.observation
    [query] = blind.embed_queries([question])
    # Whatever stands in the words' places, about their share of the score goes with them.
    words = re.findall(r"'(\w+)'", said[2])
    assert words == ["fee", "for", "monthly"], "the rarest, equals by the alphabet, three at most"
    without = gold
    for word in words:
        without = re.sub(rf"\b{word}\b", word[::-1], without)
    own, less = exact_scores(query, blind.embed_documents([gold, without]), "cosine")
    assert float(said[1]) == pytest.approx(own, abs=5e-4)
    assert float(said[3]) == pytest.approx((own - less) / 3, abs=0.05)
    assert ask(texts, question, gold, n=3, embedder=Reader()).failures.empty


def test_names_that_the_vector_does_not_hold() -> None:
    names = ["Ada", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ivo", "Jim", "Kit", "Lou"]
    texts = [*(f"The desk of {name} is on floor {chr(97 + i)}." for i, name in enumerate(names)), *PARKING]
    blind = Reader(overlooked=r"[A-Z]\w+")
    rank, name = max(
        (ranks(f"Where is the desk of {name}?", texts, blind)[i], name) for i, name in enumerate(names)
    )
    diagnosis = ask(texts, f"Where is the desk of {name}?", texts[names.index(name)], n=3, embedder=blind)
    [finding] = found(diagnosis, "embedder.numbers_or_entities")
    assert f"0 of the {rank - 1} before it hold '{name.lower()}'. Swapping '{name.lower()}' for others" in (
        finding.observation
    )


@pytest.mark.parametrize(
    ("overlooked", "named"),
    [(r"[A-Z]\w+", "'mica' for others"), (r"\d+", "'40' for others"), (r"(?!)", None)],
)
def test_numbers_and_names_are_looked_at_by_themselves(overlooked: str, named: str | None) -> None:
    """Of a chunk with both the one kind may be seen and the other not."""
    gold = "Plan Mica 40 comes with two desks, and a view over the old town."
    others = [f"Two desks, {word}?" for word in ("a view", "the view", "with a view", "a desk, a view")]
    question = "Which desks with a view has Mica 40?"
    diagnosis = ask([gold, *others, *PARKING], question, gold, n=2, embedder=Reader(overlooked=overlooked))
    said = [finding.observation for finding in found(diagnosis, "embedder.numbers_or_entities")]
    assert len(said) == (named is not None)
    assert all(f"Swapping {named} moves" in observation for observation in said)


def test_a_name_that_has_no_like_in_the_corpus() -> None:
    gold, others = (
        "The desk of Lou is on floor b.",
        ["The desk, of cook.", "The desk of.", "Where the desk is."],
    )
    blind = Reader(overlooked=r"[A-Z]\w+")
    diagnosis = ask([gold, *others, *PARKING], "Where is the desk of Lou?", gold, n=2, embedder=blind)
    [finding] = found(diagnosis, "embedder.numbers_or_entities")
    assert "0 of the " in finding.observation
    assert "Swapping 'lou' for others moves its score" in finding.observation


def test_numbers_that_the_vector_holds_are_silent() -> None:
    """It ranks low for another reason: its vector is noise, of which numbers and words change as much."""
    noise = Reader(blurred="monthly")
    rank, at = lowest_fee(noise)
    assert rank > 3
    diagnosis = ask([*FEES, *PARKING], question_of(10 + at), FEES[at], n=3, embedder=noise)
    assert found(diagnosis, "embedder.numbers_or_entities") == []
    assert status(diagnosis, "embedder.numbers_or_entities").status == "silent"


def test_numbers_of_which_more_is_seen_than_of_words_are_silent() -> None:
    reader = Reader(overlooked=r"The|is|fee|for|monthly|pounds|plan|[a-z]*ty|ten")
    texts = [*FEES, *PARKING, *[f"What is the monthly {x}?" for x in ("art", "sum", "end")]]
    diagnosis = ask(texts, f"{question_of(13)} And the monthly art, sum, end?", FEES[3], n=2, embedder=reader)
    assert found(diagnosis, "embedder.numbers_or_entities") == []
    assert status(diagnosis, "embedder.numbers_or_entities").status == "silent"


def test_numbers_that_the_others_hold_as_well_are_silent() -> None:
    lines = [f"The monthly fee for plan 23 is {amount} pounds." for amount in AMOUNTS]
    blind = Reader(overlooked=r"\d+")
    of_lines = ranks(question_of(23), [*lines, *PARKING], blind)[: len(lines)]
    lowest = lines[of_lines.index(max(of_lines))]
    diagnosis = ask([*lines, *PARKING], question_of(23), lowest, n=3, embedder=blind)
    assert found(diagnosis, "embedder.numbers_or_entities") == []
    assert status(diagnosis, "embedder.numbers_or_entities").status == "silent"


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("What is the monthly fee for the plan?", "the query names no number or name that the chunk holds"),
        ("What is the monthly fee for plan 4?", "the query names no number or name that the chunk holds"),
        ("Is it 23?", "the query shares no ordinary words with the chunk to compare with"),
    ],
)
def test_without_numbers_or_words_to_compare_with_it_cannot_be_told(question: str, why: str) -> None:
    chunks = [*FEES, *PARKING]
    gold = FEES[13].replace("pounds", "pounds and 4 pence")
    diagnosis = ask([*chunks, gold], question, gold, n=3, embedder=Reader(blurred="4 pence"))
    assert status(diagnosis, "embedder.numbers_or_entities") == CheckOutcome(
        "embedder.numbers_or_entities", "not applicable", 0, 0, why
    )


def test_kinds_of_words() -> None:
    text = "Where did Ada Lovelace leave the A-12 report? It cost 1,200.50 euros, says iPad. Ada"
    assert kinds_of_words(text) == {
        **dict.fromkeys(
            ["where", "did", "leave", "the", "report", "it", "cost", "euros", "says"], "ordinary"
        ),
        **dict.fromkeys(["ada", "lovelace", "ipad"], "name"),
        **dict.fromkeys(["a-12", "1,200.50"], "number"),
    }
    assert swap("Ada wrote. ADA, adapt!", {"ada": "bob"}) == "Bob wrote. Bob, adapt!"
