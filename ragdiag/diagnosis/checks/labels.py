"""Is the label right? Checks of how evidence is marked."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.records import Alternative, Span
from ragdiag.spans import quote
from ragdiag.stages.protocols import STAGES
from ragdiag.stages.retrievers import tokenize_words

__all__ = ["CHECKS"]


def invalid_label(bench: Bench, loss: Loss) -> Finding | None:
    """Whether every alternative of the evidence has a span that holds no word, or is cut inside one.

    One end inside a word may be meant (a label that stops before an ending); both, and nothing but
    punctuation, are not.
    """
    alternatives = loss.query.evidence[loss.unit.number].alternatives
    spans = [_spans(alternative) for alternative in alternatives]
    if not all(spans):
        raise NotApplicable("the evidence is a whole document")
    problems = [[problem for span in of_one if (problem := _problem(bench, span))] for of_one in spans]
    if not all(problems):
        return None
    observation, sure = max(problems[0], key=lambda problem: problem[1])
    if len(alternatives) > 1:
        observation += f" None of the {len(alternatives)} alternatives is marked better."
    return Finding("ingest.invalid_label", observation, "measured" if sure else "suspected")


def _spans(alternative: Alternative) -> Sequence[Span]:
    return [part for part in alternative if isinstance(part, Span)]


def _problem(bench: Bench, span: Span) -> tuple[str, bool] | None:
    """What is wrong with a span, and whether it can hardly be meant; None for a sound one."""
    text = bench.diagnosis.sources[span.doc_id].text
    where = f"Characters {span.start}-{span.end} of source {span.doc_id!r}"
    marked = text[span.start : span.end]
    if all(unicodedata.category(character)[0] in "ZCP" for character in marked):
        return f"{where} hold no word: {quote(marked)}.", True
    cuts = [
        f"{verb} inside the word {quote(_word_around(text, offset))}"
        for verb, offset in (("begin", span.start), ("end", span.end))
        if _is_inside_word(text, offset)
    ]
    if not cuts:
        return None
    return f"{where} {' and '.join(cuts)}: {quote(marked)}.", len(cuts) == 2


def _is_inside_word(text: str, offset: int) -> bool:
    """Whether a word of a script that parts words by spaces goes on across ``offset``.

    Between a digit and a letter it does not: "30" is a sound label in "30km".
    """
    if not 0 < offset < len(text):
        return False
    before, after = text[offset - 1], text[offset]
    # Said twice, so that the two make one word only where no space is needed to part them: scripts without
    # spaces come in overlapping pairs of characters.
    return before.isdigit() == after.isdigit() and len(tokenize_words((before + after) * 2)) == 1


def _word_around(text: str, offset: int) -> str:
    start = end = offset
    while _is_inside_word(text, start):
        start -= 1
    while _is_inside_word(text, end):
        end += 1
    return text[start:end]


CHECKS: tuple[Check, ...] = (
    Check("ingest.invalid_label", invalid_label, at=("ingest", "capacity", *STAGES)),
)
