"""A diagnosis within groups of queries."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["Groups"]


class Groups(Mapping[Hashable, "Diagnosis"]):
    """Diagnoses by the value of a metadata key; every table is that of a Diagnosis with the key in front."""

    def __init__(self, key: str, diagnoses: Mapping[Hashable, Diagnosis]) -> None:
        self.key = key
        self._diagnoses = diagnoses

    def __getitem__(self, value: Hashable) -> Diagnosis:
        return self._diagnoses[value]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._diagnoses)

    def __len__(self) -> int:
        return len(self._diagnoses)

    def __repr__(self) -> str:
        return f"Groups({self.key!r}: {', '.join(map(str, self))})"

    @property
    def summary(self) -> pd.DataFrame:
        """A row a group: ``queries, units, lost``, ``recall`` with ``low`` and ``high``, ``worst_stage``."""
        import pandas as pd

        rows = []
        for value, diagnosis in self.items():
            recall = diagnosis.measure("Recall")
            counts = diagnosis.counts
            losses = diagnosis.losses["loss"]
            rows.append(
                {
                    self.key: value,
                    "queries": counts["assessed"],
                    "units": counts["units"],
                    "lost": counts["lost units"],
                    "recall": recall.value,
                    "low": recall.low,
                    "high": recall.high,
                    "worst_stage": losses.idxmax() if losses.max() > 0 else "",
                }
            )
        return pd.DataFrame(rows).set_index(self.key)

    @property
    def losses(self) -> pd.DataFrame:
        """`Diagnosis.losses` of each group, indexed by the key and the stage."""
        return self._stack(lambda diagnosis: diagnosis.losses)

    @property
    def hard_losses(self) -> pd.DataFrame:
        """`Diagnosis.hard_losses` of each group, indexed by the key and the stage."""
        return self._stack(lambda diagnosis: diagnosis.hard_losses)

    @property
    def noise(self) -> pd.DataFrame:
        """`Diagnosis.noise` of each group, indexed by the key and the stage."""
        return self._stack(lambda diagnosis: diagnosis.noise)

    @property
    def precision_flow(self) -> pd.DataFrame:
        """`Diagnosis.precision_flow` of each group, indexed by the key and the boundary."""
        return self._stack(lambda diagnosis: diagnosis.precision_flow)

    @property
    def token_share(self) -> pd.DataFrame:
        """`Diagnosis.token_share` of each group, indexed by the key and what it is the share of."""
        return self._stack(lambda diagnosis: diagnosis.token_share)

    @property
    def ceilings(self) -> pd.DataFrame:
        """`Diagnosis.ceilings` of each group, indexed by the key and the checkpoint."""
        return self._stack(lambda diagnosis: diagnosis.ceilings)

    @property
    def measures(self) -> pd.DataFrame:
        """`Diagnosis.measures` of each group, indexed by the key and the measure."""
        return self._stack(lambda diagnosis: diagnosis.measures.set_index("measure"))

    @property
    def failures(self) -> pd.DataFrame:
        """`Diagnosis.failures` of each group, indexed by the key and the row within the group."""
        return self._stack(lambda diagnosis: diagnosis.failures)

    def _stack(self, table: Callable[[Diagnosis], pd.DataFrame]) -> pd.DataFrame:
        import pandas as pd

        tables = {value: table(diagnosis) for value, diagnosis in self.items()}
        names = [self.key, *next(iter(tables.values())).index.names]
        return pd.concat(tables, names=names)

    def _repr_html_(self) -> str:
        return self.summary.to_html(float_format="{:.3f}".format)
