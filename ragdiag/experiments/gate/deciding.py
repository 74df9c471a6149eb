"""The one call: whether a pipeline keeps its bars, and is no worse than it was."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import ConfigError
from ragdiag.experiments.gate.bars import Bar
from ragdiag.experiments.gate.baseline import Baseline
from ragdiag.experiments.gate.judging import judge
from ragdiag.experiments.gate.quantities import Loss, Measure
from ragdiag.experiments.gate.regression import Regression
from ragdiag.experiments.gate.result import GateResult
from ragdiag.measures.overlap import Recall

__all__ = ["gate"]


def gate(
    diagnosis: Diagnosis,
    *bars: str,
    confidence: float = 0.95,
    baseline: Baseline | None = None,
    min_effect: float = 0.0,
    judged: Sequence[str] | None = None,
) -> GateResult:
    """Does a pipeline keep its bars, and is it no worse than the baseline?

    The queries are a sample of those to come, so that a value above its bar may be luck. A bar is passed
    where even the worse bound of the value keeps it, failed where even the better bound misses it, and
    between the two it cannot be told; then the result says how many queries would tell (with a power of 80%,
    were the value what it seems to be). Under 20 queries nothing passes and nothing fails. The whole fails if
    anything fails, and passes if everything passes.

    All bars must be passed, so that several of them need no correction: a pipeline that misses any one passes
    the whole no more often than that bar alone, at most ``1 - confidence`` (the intersection-union test of
    Berger, 1982). Failing has no such shelter: of many bars that are just kept, one may fail by chance.

    **Bars** are ``"recall@5 >= 0.85"`` or any other span measure (`Diagnosis.measure`; ``context_precision``
    is ``CP``); ``"loss[reranker] <= 0.05"``, what a stage may lose of recall; ``"tokens <= 2000"``, of a
    context in the mean; ``"latency_p95 <= 200"``, milliseconds of a single query on this machine, where the
    diagnosis has measured them.

    **Baseline**: recall, and every measure and loss that has a bar, may not be worse than it was by more than
    ``min_effect``. That passes where the bound of the drop lies within, or where not one query got worse; it
    fails where the drop is surely larger. Under ``min_effect=0`` a pipeline that is merely as good, but
    not the same in each query, can never be shown to be no worse: say what drop you can live with.

    Args:
        diagnosis: of the pipeline that is to ship.
        bars: what it must keep.
        confidence: of each bound, one-sided, above 0.5 and under 1.
        baseline: what a former release was worth, over the same corpus and queries.
        min_effect: the drop of a mean that does no harm, in [0, 1).
        judged: the ids of the queries that judge; all that are assessed where not given. A pipeline that was
            chosen for its values on some queries looks better on them than it is: judge it on others.

    Raises:
        ConfigError: neither a bar nor a baseline is given, a bar cannot be read, an option is outside its
            range, or the baseline judges by other rules.
        DataError: the baseline is of another corpus or other queries, or holds no values of a measure; a bar
            needs tokens or timings that are not there; ``judged`` names no query with evidence.

    Example:
        In a test suite, so that a change that costs evidence is not merged::

            def test_the_pipeline_may_ship():
                diagnosis = ragdiag.diagnose(pipeline, documents, queries)
                baseline = ragdiag.Baseline.load("baseline.json")
                result = ragdiag.gate(diagnosis, "recall@5 >= 0.85", baseline=baseline, min_effect=0.02)
                assert result.passed, str(result)

        >>> from ragdiag import BM25Retriever, Document, Evidence, Pipeline, Query, RecursiveChunker, Span
        >>> from ragdiag import diagnose
        >>> faqs = [Document(f"faq{i}", f"Item {i} costs {i} coins.") for i in range(40)]
        >>> queries = [
        ...     Query(faq.id, faq.text.split(" costs")[0], [Evidence.of(Span(faq.id, 0, len(faq.text)))])
        ...     for faq in faqs
        ... ]
        >>> pipeline = Pipeline(chunker=RecursiveChunker(40), retriever=BM25Retriever(), top_k=3)
        >>> result = gate(diagnose(pipeline, faqs, queries), "recall >= 0.9", "precision >= 0.5")
        >>> result.verdict, result.table["verdict"].tolist()
        ('fail', ['pass', 'fail'])
    """
    _check_options(bars, confidence, baseline, min_effect)
    parsed = [Bar.parse(spec) for spec in bars]
    if baseline is not None:
        baseline.check(diagnosis)
    if judged is not None:
        diagnosis = diagnosis.select(judged)
    judgements = [judge(bar, diagnosis, confidence=confidence) for bar in parsed]
    if baseline is not None:
        regression = Regression(baseline, diagnosis, confidence, min_effect)
        comparable = [bar.quantity for bar in parsed if isinstance(bar.quantity, Measure | Loss)]
        judgements += map(regression.judge, dict.fromkeys([Measure(Recall()), *comparable]))
    return GateResult(diagnosis, baseline, confidence, min_effect, tuple(judgements))


def _check_options(
    bars: Sequence[str], confidence: float, baseline: Baseline | None, min_effect: float
) -> None:
    if not bars and baseline is None:
        raise ConfigError("gate needs a bar, such as 'recall@5 >= 0.85', or a baseline")
    if not 0.5 < confidence < 1:
        raise ConfigError(f"confidence must be above 0.5 and under 1, got {confidence!r}")
    if not 0 <= min_effect < 1:
        raise ConfigError(f"min_effect must be in [0, 1), got {min_effect!r}")
    if min_effect and baseline is None:
        raise ConfigError(f"min_effect={min_effect!r} is a drop from a baseline, and none is given")
