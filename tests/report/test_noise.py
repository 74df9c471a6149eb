"""Noise in the context and the Shapley view: every face has the numbers of the tables."""

from __future__ import annotations

import html
import re

from ragdiag import Diagnosis
from ragdiag.report.precision import Precision


def test_each_stage_has_its_noise_and_what_it_left(losing: Diagnosis) -> None:
    steps = {step.stage: step for step in Precision(losing).steps}
    assert list(steps) == losing.noise.index.tolist()
    flow = losing.precision_flow.set_index("stage")
    for stage, step in steps.items():
        assert step.loss == losing.noise["loss"][stage]
        if stage in flow.index:
            assert (step.after, step.change) == (flow["cp"][stage], flow["change"][stage])
        else:
            assert stage in ("ingest", "chunker", "capacity")
            assert (step.after, step.change) == (None, None)
            assert step.figures[2:] == ("–", "–")


def test_the_headline_names_the_noisiest_stage(losing: Diagnosis, lossless: Diagnosis) -> None:
    part = losing.select(["packer-0", "packer-1", "reranker-0", "delivered-0"])
    assert part.noise["loss"].idxmax() == "packer"
    cp = part.measure("CP").value
    assert Precision(part).headline.startswith(f"Context precision is {cp:.3f} (95% interval ")
    assert Precision(part).headline.endswith(
        f"; of the {1 - cp:.3f} that is missing to 1, most is charged to the packer."
    )
    assert [step.stage for step in Precision(part).worst] == ["packer"]
    tied = Precision(losing.select(["packer-0", "ingest-0", "delivered-0"])).headline
    assert tied.endswith("is charged to ingest and the packer, equally much to each.")
    assert Precision(lossless).worst == ()
    assert Precision(lossless).headline.endswith("there is no noise before evidence.")


def test_the_token_share_is_told_with_what_is_attainable(losing: Diagnosis, lossless: Diagnosis) -> None:
    table = losing.token_share
    told = Precision(losing).tokens
    assert told.startswith(
        f"Evidence is {table['share']['context']:.3f} of the context's tokens (95% interval "
    )
    assert told.endswith(f"would make it {table['share']['attainable']:.3f}.")
    assert "of the context's characters" in Precision(lossless).tokens


def test_every_face_has_the_numbers(losing: Diagnosis, lossless: Diagnosis) -> None:
    for diagnosis in (losing, lossless):
        precision = Precision(diagnosis)
        rows = [(step.stage, *step.figures) for step in precision.steps]
        text, markdown = (part.partition("oise in the context".upper())[2] for part in _upper(diagnosis))
        for row in rows:
            cells = [re.escape(cell.upper()) for cell in row]
            assert re.search(rf"^  {' +'.join(cells)}$", text, flags=re.MULTILINE)
            line = r" \| ".join(cells)
            assert re.search(rf"^\| {line} \|$", html.unescape(markdown), flags=re.MULTILINE)
        page = diagnosis._repr_html_().split("Noise in the context")[1].split("</table>")[0]
        body = re.findall(r"<tr[ >].*?</tr>|<tr>.*?</tr>", page)[1:]
        cells_of = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in body]
        assert [tuple(map(html.unescape, cells)) for cells in cells_of] == rows
        for face in (str(diagnosis), diagnosis._repr_html_(), diagnosis.to_markdown()):
            assert precision.headline in " ".join(face.split())


def _upper(diagnosis: Diagnosis) -> tuple[str, str]:
    return str(diagnosis).upper(), diagnosis.to_markdown().upper()


def test_the_shapley_view_shows_only_where_it_was_asked_for(judged: Diagnosis, losing: Diagnosis) -> None:
    rows = Precision(judged).shared_blame
    assert [row.stage for row in rows] == judged.shapley.index.tolist()
    assert [row.shapley for row in rows] == judged.shapley["shapley"].tolist()
    by_stage = {row.stage: row.figures for row in rows}
    assert by_stage["chunker"] == ("0.000", "0.083", "+0.083")
    assert re.search(r"^  chunker +0\.000 +0\.083 +\+0\.083$", str(judged), flags=re.MULTILINE)
    assert "| chunker | 0.000 | 0.083 | +0.083 |" in judged.to_markdown()
    assert "Shapley values beside the ledger." in judged._repr_html_()
    assert Precision(losing).shared_blame == ()
    for face in (str(losing), losing.to_markdown(), losing._repr_html_()):
        assert "Shapley" not in face
