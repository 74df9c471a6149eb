"""How well the stages of lost units are proven, counted and told."""

from __future__ import annotations

from dataclasses import replace

from ragdiag import Diagnosis
from ragdiag.diagnosis.verdicts import Effort
from ragdiag.report.lost import LostUnits
from ragdiag.report.summary import Summary


def test_units_are_counted_by_stage_and_proof(judged: Diagnosis) -> None:
    lost = LostUnits(judged)
    assert dict(lost.by_proof) == {
        "verified": 9, "joint": 3, "undetermined": 3, "unreproducible": 3, "observed": 3
    }  # fmt: skip
    table = lost.by_stage
    assert list(table.index) == ["ingest", "chunker", "embedder", "reranker", "packer"]
    assert table.loc["embedder"].to_dict() == {
        "verified": 3, "joint": 3, "undetermined": 0, "unreproducible": 0, "observed": 0
    }  # fmt: skip
    assert table.to_numpy().sum() == judged.counts["lost units"]


def test_one_sentence_says_how_sure_it_is(judged: Diagnosis, losing: Diagnosis, lossless: Diagnosis) -> None:
    assert LostUnits(judged).how_proven == (
        "How sure that is: 9 of the 21 lost units are verified by running the pipeline again, 3 jointly "
        "caused by several stages, 3 undetermined, 3 unreproducible, 3 merely observed."
    )
    assert LostUnits(losing).how_proven == (
        "How sure that is: all 21 lost units are merely observed: nothing was run again to prove it."
    )
    one = LostUnits(judged.select(["embedder-0"]))
    assert one.how_proven == "How sure that is: the lost unit is verified by running the pipeline again."
    two = LostUnits(judged.select(["embedder-0", "packer-0"]))
    assert two.how_proven.startswith("How sure that is: 1 of the 2 lost units is verified")
    assert LostUnits(lossless).how_proven == ""


def test_moved_units_are_told(judged: Diagnosis, losing: Diagnosis) -> None:
    split, masked = LostUnits(judged).moved_notes
    assert split == (
        "Moved: 3 units that the run by itself charges to capacity are charged to the chunker: the evidence "
        "is cut across chunks that do not come together."
    )
    assert masked == (
        "Moved: 3 units that the run by itself charges to the retriever are charged to the embedder: several "
        "stages must be fixed together, and the embedder is the first of them."
    )
    assert set(LostUnits(judged).moved_notes) <= set(Summary(judged).notes)
    assert LostUnits(losing).moved_notes == []
    # One unit, and units that come from several stages.
    verdicts = [v and replace(v, stage="embedder", cause="new") for v in judged.verdicts]
    mixed = replace(judged, verdicts=tuple(verdicts)).select(["packer-0", "reranker-0", "reranker-1"])
    [note] = LostUnits(mixed).moved_notes
    assert note == (
        "Moved: 3 units that the run by itself charges to the reranker (2) or the packer (1) are charged to "
        "the embedder: new."
    )
    [note] = LostUnits(judged.select(["capacity-0"])).moved_notes
    assert note.startswith("Moved: 1 unit that the run by itself charges to capacity is charged to")


def test_effort_and_its_limit_are_told(judged: Diagnosis, losing: Diagnosis) -> None:
    took, left = LostUnits(judged).effort
    assert took == (
        "The proof took, beside the run itself: 1 text embedded, 12,345 pairs of question and chunk "
        "reranked, 67 searches and 2 indexes built."
    )
    assert left == (
        "The limit of 20,000 texts and pairs (max_extra_calls) was reached: 3 lost units were left unproven."
    )
    assert LostUnits(losing).effort == []
    assert len(LostUnits(replace(judged, effort=Effort())).effort) == 1
    [_, left] = LostUnits(replace(judged, effort=Effort(limit=1, unproven=1))).effort
    assert left == "The limit of 1 text or pair (max_extra_calls) was reached: 1 lost unit was left unproven."
    [_, kept] = LostUnits(replace(judged, effort=Effort(limit=50))).effort
    assert kept == "The limit of 50 texts and pairs (max_extra_calls) was not reached."


def test_the_waterfall_follows_what_verdicts_charge(judged: Diagnosis, losing: Diagnosis) -> None:
    steps = {step.stage: step for step in Summary(judged).steps}
    assert steps["capacity"].loss == 0
    assert steps["capacity"].units == 0
    assert (steps["chunker"].units, steps["embedder"].units) == (6, 6)
    # Bars meet: each stage begins where the one before it ends, down to recall.
    ordered = list(steps.values())
    assert [step.after for step in ordered[:-1]] == [step.before for step in ordered[1:]]
    assert abs(ordered[-1].after - judged.recall) < 1e-12
    left = losing.ceilings["recall"].tolist()
    unmoved = [step.after for step in Summary(losing).steps]
    assert max(abs(a - b) for a, b in zip(unmoved, left[1:], strict=True)) < 1e-12


def test_meanings_say_where_verdicts_added_units(judged: Diagnosis, losing: Diagnosis) -> None:
    meanings = Summary(judged).meanings
    assert meanings["chunker"].endswith("; 3 more units were moved here by re-runs, see above")
    assert "moved" not in meanings["reranker"]
    assert not any("moved" in meaning for meaning in Summary(losing).meanings.values())
    one = Summary(judged.select(["capacity-0"])).meanings["chunker"]
    assert one.endswith("; 1 more unit was moved here by re-runs, see above")
