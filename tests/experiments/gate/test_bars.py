"""Bars: how they are read, and which are none."""

from __future__ import annotations

import pytest

from ragdiag import ConfigError
from ragdiag.experiments.gate import Bar


@pytest.mark.parametrize(
    ("spec", "read"),
    [
        ("recall@5 >= 0.85", "Recall@5 >= 0.85"),
        ("  Recall@512t>=.6 ", "Recall@512t >= 0.6"),
        ("context_precision >= 4e-1", "CP >= 0.4"),
        ("CONTEXT_PRECISION@3 >= 0", "CP@3 >= 0"),
        ("hit(min_coverage=0.5)@2 >= 0.123456789012", "Hit(min_coverage=0.5)@2 >= 0.123456789012"),
        ("loss[reranker] <= 0.05", "loss[reranker] <= 0.05"),
        ("Loss [ Ingest ]<=.5", "loss[ingest] <= 0.5"),
        ("tokens <= 2000", "tokens <= 2000"),
        ("TOKENS<=1.5e3", "tokens <= 1500"),
        ("latency_p95 <= 200", "latency_p95 <= 200"),
        ("latencyP50 <= 0.5", "latency_p50 <= 0.5"),
    ],
)
def test_a_bar_prints_as_its_spec(spec: str, read: str) -> None:
    bar = Bar.parse(spec)
    assert repr(bar) == read
    assert Bar.parse(read) == bar


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("", "bar '' cannot be read: expected a quantity, >= or <=, and a number, such as"),
        ("recall@5", "bar 'recall@5' cannot be read"),
        (">= 0.5", "bar '>= 0.5' cannot be read"),
        (
            "recal@5 >= 0.5",
            "measure 'recal@5' is not known, did you mean Recall\\?; known: .*; beside measures",
        ),
        ("recall@0 >= 0.5", "Recall: k must be an integer >= 1, got 0"),
        ("hit(min_coverage=2) >= 0.5", "Hit: min_coverage must be in"),
        ("loss[index] <= 0.5", "there is no stage 'index'; there are ingest, chunker, capacity"),
        ("latency_p0 <= 5", "measure 'latencyp0' is not known"),
        ("recall@5 >= high", "bar 'recall@5 >= high': the limit must be a number, got 'high'"),
        ("recall@5 >= nan", "the limit must be a number, got 'nan'"),
        ("tokens <= inf", "the limit must be a number, got 'inf'"),
        ("recall@5 >= 85%", "the limit must be a number, got '85%'"),
        ("recall@5 >= 85", "must be a share in \\[0, 1\\], got 85; 85% is 0.85"),
        ("recall@5 >= -0.1", "must be a share in \\[0, 1\\], got -0.1$"),
        ("recall@5 >= 1", "cannot be 1: no number of questions can show .* such as 0.95"),
        ("loss[packer] <= 0", "cannot be 0: no number of questions can show .* such as 0.05"),
        ("tokens <= 0", "a bar for tokens must be above 0, got 0"),
        ("latency_p95 <= -1", "a bar for latency_p95 must be above 0, got -1"),
        ("recall@5 <= 0.5", "more of Recall@5 is better, so that its sign must be >=, got <="),
        ("recall@5 > 0.5", "its sign must be >=, got >"),
        ("recall@5 == 0.5", "its sign must be >=, got =="),
        ("loss[packer] >= 0.5", "less of loss\\[packer\\] is better, so that its sign must be <=, got >="),
    ],
)
def test_what_is_no_bar_is_named(spec: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        Bar.parse(spec)
    assert str(refused.value).startswith(f"bar {spec!r}")
