"""The lost units as text: how well their stages are proven, and the worst of them."""

from __future__ import annotations

from ragdiag.report.escaping import columns, fit, one_line
from ragdiag.report.figures import MISSING, count
from ragdiag.report.proof_words import PROOFS
from ragdiag.report.summary import Summary
from ragdiag.report.text.lines import WIDTH, rank_cells, wrapped

__all__ = ["failure_lines", "proof_lines"]

_FAILURES = 8


def proof_lines(summary: Summary) -> list[str]:
    """How well the stages are proven; none where nothing was lost."""
    lost = summary.lost
    if not lost.failures:
        return []
    kinds = list(lost.by_proof)
    lines = [
        "HOW THAT IS PROVEN, in lost units",
        f"  {'stage':<9}" + "".join(f"  {kind}" for kind in kinds),
    ]
    for stage, row in lost.by_stage.iterrows():
        lines.append(f"  {stage:<9}" + "".join(f"  {count(int(row[kind])):>{len(kind)}}" for kind in kinds))
    for proof, meaning in lost.meanings_of_proofs.items():
        lines += wrapped(f"{proof}: {meaning}.", first="  ", rest="    ")
    for sentence in lost.effort:
        lines += wrapped(sentence, first="  ", rest="  ")
    return lines


def failure_lines(summary: Summary) -> list[str]:
    """Two lines a lost unit: the query, and below it what lost it and where it ranked."""
    failures = summary.failures
    if not failures:
        return ["LOST UNITS", "  none"]
    shown = failures[:_FAILURES]
    rankings = summary.rank_columns
    tied = any(failure.tied for failure in shown)
    ids = min(24, max(8, *(columns(one_line(failure.query_id)) for failure in shown)))
    cause = max(len("cause"), *(columns(one_line(failure.cause)) for failure in shown))
    proof = max(map(len, PROOFS))
    below = " " * (ids + 4)
    ranks = "".join(f" {name:>{len(name)}}" for name in rankings.values())
    lines = [
        f"LOST UNITS, the worst {len(shown)} of {count(len(failures))} (least delivered first)",
        f"  {'query id':<{ids}}  query",
        f"{below}{'stage':<9}  {'cause':<{cause}}  {'proof':<{proof}} {ranks}{'  tied' if tied else ''}",
    ]
    for failure in shown:
        query = fit(failure.query, WIDTH - len(below)).rstrip()
        lines.append(f"  {fit(failure.query_id, ids)}  {query}")
        what = f"{failure.stage:<9}  {fit(failure.cause, cause)}  {failure.proof:<{proof}}"
        lines.append(
            f"{below}{what} {rank_cells(failure, rankings)}{'  tied' if failure.tied else ''}".rstrip()
        )
    lines += wrapped(_rank_legend(summary), first="  ", rest="  ")
    if len(failures) > len(shown):
        lines.append("  All of them: diagnosis.failures. One query's story: diagnosis.explain(query_id).")
    return lines


def _rank_legend(summary: Summary) -> str:
    trace = summary.trace
    return (
        f"Ranks: where the unit is complete, from 1; {MISSING} where it never is. "
        f"The retriever returns {trace.candidates}, at most {trace.top_k} reach the prompt."
    )
