"""The benchmark of verdicts as tables and a heat map."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from real_data import RESULTS, write_result
from verdict_rules import RULES
from verdict_trials import UNIDENTIFIABLE

from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.experiments.faults import FAULTS
from ragdiag.measures.statistics import Clusters, interval

__all__ = ["report", "scores"]

OURS = "ragdiag"
UNDETERMINED = "undetermined"
_DETERMINED = ("verified", "joint", "observed")

Row = dict[str, Any]

_FATES = (
    "*only*, *joint*: the stage named is one whose mending alone brings the unit back. *overdetermined*, "
    "*mixed*: for ragdiag, all stages that must be mended are named, and no other; the simpler rules name "
    "one stage, and are right where it is one of them. *One ideal stage enough*: with one stage ideal, which "
    "is more than healthy, the unit comes back although two are broken: an ideal reranker, say, also puts "
    "both halves of cut evidence first."
)


def report(trials: Sequence[Row], *, expected: int) -> None:
    """Write `benchmarks/results/verdicts.md`, `.json`, `.svg` and `.png`, and print the first."""
    found = scores(trials)
    draw_confusion(found["confusion"])
    write_result("verdicts", as_markdown(found, trials, expected), found)


def said(unit: Row, rule: str) -> str:
    """The stage that a rule lays a unit to; ``undetermined`` where it names none."""
    if rule == OURS:
        return str(unit["stage"]) if unit["proof"] in _DETERMINED else UNDETERMINED
    return unit["rules"][rule] or UNDETERMINED


def is_right(unit: Row, rule: str) -> bool:
    """Whether the stage named is one whose mending alone is a fix."""
    return said(unit, rule) in {stage for fix in unit["truth"] if len(fix) == 1 for stage in fix}


def names_the_set(unit: Row) -> bool:
    """Whether the stages that the verdict says must all be mended are those of a minimal fix."""
    return unit["proof"] in _DETERMINED and sorted(unit["blamed"]) in [sorted(fix) for fix in unit["truth"]]


def holds_the_set(unit: Row) -> bool:
    """Whether a minimal fix is among the sets of stages that the verdict says are each enough."""
    return any(sorted(repair) in [sorted(fix) for fix in unit["truth"]] for repair in unit["repairs"])


def scores(trials: Iterable[Row]) -> dict[str, Any]:
    """All figures of the report, from the trials."""
    run = [trial for trial in trials if "skipped" not in trial]
    singles = [trial for trial in run if len(trial["faults"]) == 1 and trial["stages"] != [""]]
    pairs = [trial for trial in run if len(trial["faults"]) == 2]
    triples = [trial for trial in run if len(trial["faults"]) == 3]
    nulls = [trial for trial in run if trial["stages"] == [""]]
    alone = [unit for unit in _units(singles) if not unit["unidentifiable"]]
    by_stage = {stage: [u for u in alone if u["truth"] == [[stage]]] for stage in LOSS_STAGES}
    return {
        "trials": len(run),
        "by_stage": {stage: _of_stage(units) for stage, units in by_stage.items() if units},
        "macro": {
            rule: _mean(_accuracy(units, rule) for units in by_stage.values() if units)
            for rule in (OURS, *RULES)
        },
        "by_corpus": {
            corpus: _mean(
                _accuracy([u for u in units if u["corpus"] == corpus], OURS)
                for units in by_stage.values()
                if any(u["corpus"] == corpus for u in units)
            )
            for corpus in sorted({unit["corpus"] for unit in alone})
        },
        "by_fault": _by_fault(singles),
        "confusion": _confusion(alone),
        "coverage": _share(said(unit, OURS) != UNDETERMINED for unit in alone),
        "false_blame": _share(not {*unit["blamed"]} <= {*unit["truth"][0]} for unit in alone),
        "null": {
            "trials": len(nulls),
            "units": sum(trial["units"] for trial in nulls),
            "blamed": sum(trial["lost"] for trial in nulls),
        },
        "unidentifiable": _unidentifiable(_units(singles)),
        "pairs": _several(pairs),
        "triples": _several(triples),
        "severity": _severity(singles),
        "additivity_error": max((trial["additivity_error"] for trial in run), default=0.0),
        "seconds": round(sum(trial["seconds"] for trial in run)),
    }


def _units(trials: Iterable[Row]) -> list[Row]:
    return [
        {**unit, "corpus": trial["corpus"], "faults": trial["faults"]}
        for trial in trials
        for unit in trial["records"]
    ]


def _accuracy(units: Sequence[Row], rule: str) -> float:
    return _share(is_right(unit, rule) for unit in units)


def _share(values: Iterable[bool]) -> float:
    known = list(values)
    return float(np.mean(known)) if known else float("nan")


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _of_stage(units: Sequence[Row]) -> dict[str, Any]:
    right = np.array([is_right(unit, OURS) for unit in units], float)
    estimate = interval(right, clusters=Clusters.of([[f"{u['corpus']}/{u['query_id']}"] for u in units]))
    return {
        "units": len(units),
        "low": estimate.low,
        "high": estimate.high,
        "coverage": _share(said(unit, OURS) != UNDETERMINED for unit in units),
        "accuracy": {rule: _accuracy(units, rule) for rule in (OURS, *RULES)},
    }


def _by_fault(singles: Sequence[Row]) -> dict[str, Any]:
    of_fault: dict[str, list[Row]] = defaultdict(list)
    for unit in _units(singles):
        of_fault[unit["faults"][0]].append(unit)
    table = {}
    for name in FAULTS:
        units = of_fault.get(name, [])
        plain = [unit for unit in units if not unit["unidentifiable"]]
        said_instead = Counter(said(unit, OURS) for unit in plain if not is_right(unit, OURS))
        table[name] = {
            "stage": FAULTS[name].stage,
            "cause": FAULTS[name].cause,
            "lost": len(units),
            "identifiable": len(plain),
            "accuracy": _accuracy(plain, OURS),
            "cause_found": _share(
                f"{FAULTS[name].stage}.{FAULTS[name].cause}" in unit["findings"] for unit in plain
            ),
            "instead": dict(said_instead.most_common()),
        }
    return table


def _confusion(units: Sequence[Row]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for unit in units:
        counts[unit["truth"][0][0]][said(unit, OURS)] += 1
    return {stage: dict(counts[stage]) for stage in LOSS_STAGES if stage in counts}


def _unidentifiable(units: Sequence[Row]) -> dict[str, Any]:
    table = {}
    for name in UNIDENTIFIABLE:
        of_class = [unit for unit in units if unit["unidentifiable"] == name]
        table[name] = {
            "units": len(of_class),
            "right": _accuracy(of_class, OURS),
            "undetermined": _share(said(unit, OURS) == UNDETERMINED for unit in of_class),
            "either": _share(unit["truth"][0] in unit["repairs"] for unit in of_class),
        }
    return table


def _several(trials: Sequence[Row]) -> dict[str, Any]:
    """What is said of units that several faults lose."""
    units = _units(trials)
    fates: dict[str, list[Row]] = defaultdict(list)
    for unit in units:
        fates[unit["fate"]].append(unit)
    table: dict[str, Any] = {"trials": len(trials)}
    for fate in ("only", "joint", "overdetermined", "mixed"):
        of_fate = fates[fate]
        single = fate in ("only", "joint")
        table[fate] = {
            "units": len(of_fate),
            OURS: _share(is_right(u, OURS) if single else names_the_set(u) for u in of_fate),
        } | {
            rule: _share(
                is_right(u, rule) if single else any(said(u, rule) in fix for fix in u["truth"])
                for u in of_fate
            )
            for rule in RULES
        }
    whole = [unit for unit in fates["overdetermined"] if len(unit["truth"][0]) > 1]
    table["only"]["by_stage"] = {
        stage: _accuracy([u for u in fates["only"] if u["truth"] == [[stage]]], OURS)
        for stage in LOSS_STAGES
        if any(u["truth"] == [[stage]] for u in fates["only"])
    }
    table["overdetermined"]["by_pair"] = _by_stages(whole)
    table["overdetermined"]["among"] = _share(map(holds_the_set, fates["overdetermined"]))
    table["overdetermined"]["one_enough"] = _share(
        any(len(repair) == 1 for repair in unit["repairs"]) for unit in fates["overdetermined"]
    )
    return table


def _by_stages(units: Sequence[Row]) -> dict[str, Any]:
    of_pair: dict[str, list[Row]] = defaultdict(list)
    for unit in units:
        of_pair[" + ".join(s for s in LOSS_STAGES if s in unit["truth"][0])].append(unit)
    return {
        pair: {
            "units": len(found),
            "named": _share(map(names_the_set, found)),
            "among": _share(map(holds_the_set, found)),
            "one_enough": _share(any(len(repair) == 1 for repair in unit["repairs"]) for unit in found),
        }
        for pair, found in sorted(of_pair.items())
    }


def _severity(singles: Sequence[Row]) -> dict[str, float]:
    """What the fault's stage is charged with, against what the fault took of hard recall."""
    pairs = [
        (trial["hard_losses"].get(trial["stages"][0], 0.0), trial["true_loss"])
        for trial in singles
        if not any(unit["unidentifiable"] for unit in trial["records"])
    ]
    charged, true = np.array(pairs).T
    return {
        "trials": len(pairs),
        "mean_error": float(np.abs(charged - true).mean()),
        "largest_error": float(np.abs(charged - true).max()),
        "correlation": float(np.corrcoef(charged, true)[0, 1]),
    }


# As a reader sees them


def draw_confusion(confusion: Mapping[str, Mapping[str, int]]) -> None:
    """The heat map: of the units that a stage lost, the share that is laid to each."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "ragdiag"  # the same figures give the same file
    from matplotlib import pyplot as plt

    columns = [*LOSS_STAGES, UNDETERMINED]
    rows = list(confusion)
    counts = np.array([[confusion[row].get(column, 0) for column in columns] for row in rows], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure, axes = plt.subplots(figsize=(8.4, 0.55 * len(rows) + 1.9), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=25, ha="right")
    axes.set_yticks(
        range(len(rows)), [f"{row}  ({int(n):,})" for row, n in zip(rows, counts.sum(1), strict=True)]
    )
    axes.set_xlabel("stage named by the verdict")
    axes.set_ylabel("stage that lost it (units)")
    for i, j in np.ndindex(shares.shape):
        if counts[i, j]:
            color = "white" if shares[i, j] > 0.5 else "#222222"
            axes.text(
                j,
                i,
                f"{shares[i, j]:.3f}"[1:] if shares[i, j] < 1 else "1",
                ha="center",
                va="center",
                color=color,
            )
    axes.set_title("Planted faults, one at a time: who lost it, and who is named")
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "verdicts.svg", metadata={"Date": None})
    figure.savefig(RESULTS / "verdicts.png", dpi=130, metadata={"Software": None})
    plt.close(figure)


def as_markdown(found: Mapping[str, Any], trials: Sequence[Row], expected: int) -> str:
    """The page."""
    lines = [
        "# How often a verdict is right",
        "",
        f"{found['trials']:,} trials; made by `python benchmarks/verdicts.py`.",
        "",
        "## One fault at a time",
        "",
        _row(["stage", "lost units", "named rightly", "95% interval", "determined", *RULES]),
        _row(["---"] * (5 + len(RULES))),
    ]
    for stage, of in found["by_stage"].items():
        accuracy = of["accuracy"]
        lines.append(
            _row(
                [
                    stage,
                    f"{of['units']:,}",
                    _figure(accuracy[OURS]),
                    f"{_figure(of['low'])} to {_figure(of['high'])}",
                    _figure(of["coverage"]),
                    *(_figure(accuracy[rule]) for rule in RULES),
                ]
            )
        )
    macro = found["macro"]
    rest = [_figure(macro[rule]) for rule in RULES]
    lines.append(
        _row(["**macro**", "", f"**{_figure(macro[OURS])}**", "", _figure(found["coverage"]), *rest])
    )
    corpora = ", ".join(f"{name} {_figure(value)}" for name, value in found["by_corpus"].items())
    null, severity = found["null"], found["severity"]
    errors = [_figure(severity[key]) for key in ("mean_error", "largest_error", "correlation")]
    lines += ["", f"By corpus: {corpora}."]
    lines.append(f"A healthy stage is blamed, too, for {_figure(found['false_blame'])} of the lost units.")
    lines.append(f"With nothing planted, {null['blamed']} of {null['units']:,} units are blamed on a stage.")
    lines.append(f"What a stage is charged with, against what its fault took ({severity['trials']} trials):")
    lines.append(f"mean error {errors[0]}, largest {errors[1]}, correlation {errors[2]}.")
    lines.append(f"Losses sum to 1 - recall within {found['additivity_error']:.0e}.")
    lines += ["", "## Two faults at once, and three", "", _row(["", "fate", "lost units", OURS, *RULES])]
    lines.append(_row(["---"] * (4 + len(RULES))))
    for name in ("pairs", "triples"):
        for fate in ("only", "joint", "overdetermined", "mixed"):
            of = found[name][fate]
            if of["units"]:
                figures = [_figure(of[rule]) for rule in (OURS, *RULES)]
                lines.append(_row([name, fate, f"{of['units']:,}", *figures]))
    lines += [
        "",
        _FATES,
        "",
        _row(
            [
                "masked pair",
                "lost units",
                "named as planted",
                "among the sets named",
                "one ideal stage enough",
            ]
        ),
        _row(["---"] * 5),
    ]
    whole = found["pairs"]["overdetermined"]
    figures = [_figure(whole[key]) for key in (OURS, "among", "one_enough")]
    lines.append(_row(["**all**", f"{whole['units']:,}", *figures]))
    for pair, of in found["pairs"]["overdetermined"]["by_pair"].items():
        figures = [_figure(of[key]) for key in ("named", "among", "one_enough")]
        lines.append(_row([pair, of["units"], *figures]))
    lines += [
        "",
        "## What no data can tell, listed before the run",
        "",
        _row(["class", "lost units", "named rightly", "undetermined", "the true stage among the fixes"]),
        _row(["---"] * 5),
    ]
    for name, of in found["unidentifiable"].items():
        figures = [_figure(of[key]) for key in ("right", "undetermined", "either")]
        lines.append(_row([name, of["units"], *figures]))
    lines += ["", *(f"- **{name}**: {why}" for name, why in UNIDENTIFIABLE.items()), "", "## By fault", ""]
    head = [
        "fault",
        "stage.cause",
        "lost units",
        "identifiable",
        "named rightly",
        "cause found",
        "named instead",
    ]
    lines += [_row(head), _row(["---"] * len(head))]
    for name, of in found["by_fault"].items():
        code = f"{of['stage']}.{of['cause']}" if of["stage"] else "(none)"
        instead = ", ".join(f"{stage} {n}" for stage, n in of["instead"].items())
        figures = [_figure(of["accuracy"]), _figure(of["cause_found"]) if of["cause"] else ""]
        lines.append(_row([name, code, of["lost"], of["identifiable"], *figures, instead]))
    skipped = Counter((trial["faults"][0], trial["skipped"]) for trial in trials if "skipped" in trial)
    if skipped:
        lines += ["", "Not planted:", ""]
        lines += [f"- {name} (in {times} cases): {why}" for (name, why), times in sorted(skipped.items())]
    missing = len(trials) % expected
    if missing:
        lines += ["", f"**Not complete**: {len(trials)} trials so far, {expected} a case."]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _figure(value: float) -> str:
    if np.isnan(value):
        return "n/a"
    return f"{value:.3f}"[1:] if 0 <= value < 0.9995 else f"{value:.0f}" if value >= 0 else f"{value:.3f}"
