"""Each mutant can still be made; `make mutants` shows that each is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.lab.scenarios import SCENARIOS
from tests.faults.lab.stores import PAIRS
from tests.faults.mutant import HERE, SOURCES, Lab, Mutant
from tests.faults.mutants import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutants_text_is_there_exactly_once(mutant: Mutant, tmp_path: Path) -> None:
    original = SOURCES / "conduit" / mutant.path
    copy = tmp_path / "conduit" / mutant.path
    copy.parent.mkdir(parents=True)
    copy.write_text(original.read_text("utf-8"), "utf-8")
    mutant.apply(tmp_path)
    assert copy.read_text("utf-8") != original.read_text("utf-8")


def test_those_that_have_to_notice_are_there() -> None:
    for killer in (killer for mutant in MUTANTS for killer in mutant.killers):
        if isinstance(killer, Lab):
            assert killer.pair in PAIRS
            assert killer.scenario in SCENARIOS
        else:
            assert (HERE / killer.path).exists()


def test_mutants_are_told_apart_by_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
