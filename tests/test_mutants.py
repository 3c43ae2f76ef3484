"""The table of mutants (``python tests/mutants.py`` runs them) still fits the sources."""

from __future__ import annotations

from mutants import mutants


def test_every_mutant_applies() -> None:
    defects = {f"{mutant.file}: {mutant.note}": mutant.defect() for mutant in mutants()}
    assert {name: defect for name, defect in defects.items() if defect} == {}
    assert len(defects) == len(mutants()) > 0, "notes tell mutants of a file apart"
