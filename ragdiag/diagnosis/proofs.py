"""Tables of verdicts: how losses are proven, and the order-free view beside the ledger."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ragdiag.diagnosis.verdicts import Proof
from ragdiag.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["NO_STAGE", "proof_table", "shapley_table"]

PROOFS: tuple[Proof, ...] = ("verified", "joint", "undetermined", "unreproducible", "observed")
NO_STAGE = "(none)"
"""What no set of ideal stages brings back, in the table of Shapley values."""


def proof_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """How many lost units of each stage are proven in which way; see `Diagnosis.proofs`."""
    import pandas as pd

    units = Counter((verdict.stage, verdict.proof) for verdict in diagnosis.verdicts if verdict is not None)
    stages = diagnosis.ledger.stages
    return pd.DataFrame(
        {proof: [units[stage, proof] for stage in stages] for proof in PROOFS},
        index=pd.Index(stages, name="stage"),
    )


def shapley_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """The losses by Shapley value beside the ledger's; see `Diagnosis.shapley`."""
    import pandas as pd

    lost = [(unit, verdict) for unit, verdict in enumerate(diagnosis.verdicts) if verdict is not None]
    valued = [(unit, verdict) for unit, verdict in lost if verdict.shapley is not None]
    if lost and not valued:
        raise DataError("no lost unit has Shapley values: diagnose with shapley=True")
    stages = [*diagnosis.ledger.stages, NO_STAGE]
    ledger, shapley = dict.fromkeys(stages, 0.0), dict.fromkeys(stages, 0.0)
    for unit, verdict in valued:
        weight = float(diagnosis.unit_weights[unit])
        shares = verdict.shapley or {}
        ledger[verdict.observed] += weight
        for stage, share in shares.items():
            shapley[stage] += weight * share
        shapley[NO_STAGE] += weight * (1 - sum(shares.values()))
    table = pd.DataFrame({"ledger": ledger, "shapley": shapley}).rename_axis("stage")
    return table.assign(difference=table["shapley"] - table["ledger"])
