"""A verdict is told as a story: what was made ideal, what came of it, and what that means."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from ragdiag.diagnosis.verdicts import Outcome, Proof, Trial, Verdict, VoidBy
from ragdiag.report.proof import ProofStory
from ragdiag.report.proof_words import OUTCOMES, PROOFS, VOIDS, describe_proof

STAGES = ("chunker", "embedder", "retriever", "reranker", "packer")
LOST = Trial((), "lost", 0.0)
BACK = Trial(("embedder",), "recovered", 1.0)


def story(verdict: Verdict, *, stages: tuple[str, ...] = STAGES, budget: int | None = 900) -> ProofStory:
    return ProofStory(verdict, stages, top_k=5, budget=budget)


def conclusion(verdict: Verdict, **options: int | None) -> str:
    return " ".join(story(verdict, **options).conclusion)  # type: ignore[arg-type]


def verified(**changed: object) -> Verdict:
    verdict = Verdict(
        "embedder",
        "ranked_low",
        "verified",
        observed="embedder",
        repairs=(("embedder",),),
        reason="A reason that says the same.",
        trials=(BACK, Trial(("retriever",), "lost", 0.5), Trial(("reranker",), "lost", 0.0)),
    )
    return replace(verdict, **changed)  # type: ignore[arg-type]


def test_there_are_words_for_everything_that_a_verdict_can_say() -> None:
    assert list(PROOFS) == ["verified", "joint", "undetermined", "unreproducible", "observed"]
    assert set(PROOFS) == set(get_args(Proof))
    assert set(OUTCOMES) == set(get_args(Outcome))
    assert set(VOIDS) == set(get_args(VoidBy))
    assert describe_proof("joint") == PROOFS["joint"]
    assert describe_proof("new") == "new"


def test_one_stage_to_blame() -> None:
    assert conclusion(verified()) == (
        "Verified: with an ideal embedder alone, all else as it is, the evidence comes back, so the embedder "
        "is to blame. An ideal retriever or reranker does not bring it back."
    )


def test_without_trials_the_conclusion_says_what_ideal_means() -> None:
    assert (
        "with an ideal embedder (the chunks with the evidence get the question's own vector) alone"
        in conclusion(verified(trials=()))
    )
    assert story(verified(trials=())).how_tried == ""
    assert story(verified(trials=())).trials == ()


def test_either_of_several_fixes_is_enough() -> None:
    trials = tuple(Trial((stage,), "recovered", 1.0) for stage in STAGES)
    two = conclusion(verified(repairs=(("embedder",), ("packer",)), trials=trials))
    assert "comes back. So it does with an ideal packer alone: either fix is enough." in two
    assert "blame" not in two
    three = conclusion(
        verified(repairs=(("chunker",), ("embedder",), ("retriever", "packer")), trials=trials)
    )
    assert (
        "So it does with an ideal chunker alone or with an ideal retriever and packer together: any one of "
        "these fixes is enough." in three
    )


def test_a_verdict_that_moved_the_stage_says_from_where() -> None:
    split = conclusion(verified(stage="chunker", cause="split", repairs=(("chunker",),)))
    assert split.endswith(
        "The run by itself charges the loss to the embedder; the re-runs charge it to the chunker, where its "
        "cause is."
    )
    capacity = conclusion(
        verified(stage="chunker", cause="split", repairs=(("chunker",),), observed="capacity")
    )
    assert "charges the loss to capacity; the re-runs" in capacity
    assert "The run by itself" not in conclusion(verified())


def test_truncation_and_what_belongs_to_no_plug_have_their_own_reason() -> None:
    reason = "The embedder reads 9 tokens; with a window it comes back."
    assert conclusion(verified(cause="truncated", reason=reason)) == (
        f"Verified. {reason} So the embedder is to blame."
    )
    either = verified(cause="truncated", reason=reason, repairs=(("embedder",), ("reranker",)))
    assert conclusion(either).endswith(f"{reason} It comes back with an ideal reranker alone as well.")
    for stage in ("ingest", "capacity"):
        found = conclusion(verified(stage=stage, observed=stage, cause="missing", reason="It is still lost"))
        assert found == "Verified: making the stages ideal is no cure. It is still lost."


def test_what_comes_back_at_the_expense_of_others_is_no_cure() -> None:
    trials = (BACK, Trial(("reranker",), "evicted", 1.0, "unit 2 was lost"))
    cure = "brings it back only at the expense of other evidence of this question, which is no cure."
    assert f"An ideal reranker {cure}" in conclusion(verified(trials=trials))


def test_joint_faults_must_all_be_fixed() -> None:
    joint = Verdict("retriever", "masked", "joint", observed="packer", repairs=(("retriever", "packer"),))
    assert conclusion(joint) == (
        "Joint: no single stage made ideal brings the evidence back, but retriever and packer made ideal "
        "together do. Fix all of them: fixing one alone changes nothing. "
        "The run by itself charges the loss to the packer; the re-runs charge it to the retriever, the first "
        "of the stages that must be fixed together."
    )
    # The set that decides is the first with the ledger's label in it.
    several = replace(
        joint,
        observed="retriever",
        repairs=(("embedder", "packer"), ("retriever", "packer")),
        trials=(Trial(("embedder", "packer"), "recovered", 1.0), Trial(("retriever",), "lost", 0.0)),
    )
    told = conclusion(several)
    assert "but retriever and packer made ideal together do" in told
    assert "The same holds with an ideal embedder and packer together." in told
    assert "The loss is charged to the retriever, the first of the stages" in told
    assert "but retriever made ideal together do" in conclusion(replace(joint, repairs=()))


@pytest.mark.parametrize(
    ("proof", "begins", "stays"),
    [
        ("undetermined", "Undetermined: running the pipeline again did not single out a stage.", True),
        ("unreproducible", "Unreproducible: asked again, the pipeline did not answer as before", True),
        ("observed", "Observed: this is what the run itself shows, not proven by", False),
    ],
)
def test_what_is_not_proven_gives_its_reason(proof: Proof, begins: str, *, stays: bool) -> None:
    told = conclusion(verified(proof=proof, reason="The data cannot tell"))
    assert told.startswith(begins)
    assert "The data cannot tell." in told
    assert ("The loss stays charged to the embedder, as the run has it." in told) == stays
    assert "  " not in conclusion(verified(proof=proof, reason=""))
    moved = conclusion(verified(proof=proof, observed="retriever"))
    assert "stays charged" not in moved
    assert "The run by itself charges the loss to the retriever" in moved


def test_trials_are_rows_that_say_at_first_what_ideal_means() -> None:
    singles = tuple(Trial((stage,), "lost", 0.25) for stage in STAGES)
    both = Trial(("embedder", "packer"), "recovered", 1.0)
    rows = story(verified(trials=(LOST, *singles, both))).trials
    assert [(row.ideal, row.gloss) for row in rows] == [
        ("nothing", "the same question once more"),
        ("chunker", "evidence that is cut gets one chunk that holds it whole, in place of its pieces"),
        ("embedder", "the chunks with the evidence get the question's own vector"),
        ("retriever", "of what an exact search returns, the chunks with the evidence come first"),
        ("reranker", "the candidates with the evidence are put first"),
        ("packer", "of the best 5 chunks, those with the evidence are packed before the others"),
        ("embedder and packer together", ""),
    ]
    assert [row.result for row in rows] == ["lost again", *["still lost"] * 5, "it came back"]
    assert [row.coverage for row in rows] == [0.0, *[0.25] * 5, 1.0]
    [row] = story(verified(trials=(both,))).trials
    assert row.gloss.startswith(
        "(embedder: the chunks with the evidence get the question's own vector; packer: "
    )


def test_what_ideal_means_depends_on_the_pipeline() -> None:
    trials = (Trial(("retriever",), "lost", 0.0), Trial(("packer",), "lost", 0.0))
    retriever, packer = story(
        verified(trials=trials), stages=("chunker", "retriever", "packer"), budget=None
    ).trials
    assert retriever.gloss == "the chunks with the evidence come first"
    assert packer.gloss == "of the best 5 chunks, all are packed, whole"
    [only] = ProofStory(verified(trials=trials[1:]), STAGES, top_k=1, budget=9).trials
    assert only.gloss.startswith("of the best chunk, ")


def test_outcomes_carry_their_notes() -> None:
    trials = (
        Trial(("embedder",), "recovered", 1.0, variant="window"),
        Trial(("embedder",), "lost", 0.0, variant="another variant"),
        Trial(("reranker",), "evicted", 1.0, "unit 2 was lost"),
        Trial(("retriever",), "void", None, "the retriever raised KeyError"),
        Trial(("packer",), "void", None, void_by="spent"),
        Trial(("chunker",), "void", None),
    )
    window, variant, *rows = story(verified(trials=trials)).trials
    assert (
        window.gloss == "only the evidence and what stands around it is embedded, in place of the whole chunk"
    )
    assert variant.gloss == "another variant"
    assert [row.result for row in rows] == [
        "it came back, but at the expense of other evidence: unit 2 was lost",
        "proves nothing: the retriever raised KeyError",
        "proves nothing: the calls that were allowed are spent",
        "proves nothing",
    ]
    assert rows[1].coverage is None


def test_how_it_was_tried() -> None:
    assert story(verified()).how_tried == (
        "Asked again as it is, the question lost this evidence again. The question was run through the real "
        "pipeline again, each time with one or more stages made ideal, that is, as good as can be for this "
        "evidence, and everything else left as it is. There was nothing to make ideal in the chunker or the "
        "packer."
    )
    everything = (LOST, *(Trial((stage,), "lost", 0.0) for stage in STAGES))
    told = story(verified(trials=everything)).how_tried
    assert "nothing to make ideal" not in told
    assert "Asked again" not in told
    assert "once more, as it is" in story(verified(trials=(LOST,))).how_tried


def test_long_messages_of_plugs_are_cut() -> None:
    long = "x" * 2000
    told = story(verified(proof="observed", reason=long, trials=(Trial(("packer",), "void", None, long),)))
    assert len(" ".join(told.conclusion)) < 900
    assert told.trials[0].result.endswith("x…")
    assert len(told.trials[0].result) < 300


def test_shapley_values_share_the_blame() -> None:
    assert story(verified()).shapley == ""
    shared = story(verified(shapley={"packer": 0.25, "embedder": 0.75, "chunker": 0.0})).shapley
    assert shared.endswith("(Shapley values): embedder 0.750, packer 0.250.")
    assert "not all of them together help" in story(verified(shapley={"packer": 0.0})).shapley
