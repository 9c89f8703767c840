"""What the values of each variable may be."""

from __future__ import annotations

import pytest

from hmp_cache.contracts import CONTRACTS, GENERIC, UNITS, contract_for


@pytest.mark.parametrize(
    ("variable", "unit", "low", "high"),
    [
        ("discharge", "m3 s-1", -5e4, 5e5),
        ("discharge", "l/s", -5e7, 5e8),
        ("precipitation", "m d-1", 0, 2),
        ("precipitation", "kg m-2 s-1", 0, 600 / 3600),
        ("temperature", "K", 178.15, 338.15),
        ("humidity", "1", 0, 1.1),
    ],
)
def test_limits_are_in_the_unit_of_the_data(variable: str, unit: str, low: float, high: float) -> None:
    assert contract_for(variable).limits(unit) == pytest.approx((low, high))


def test_without_a_unit_only_the_impossible_is_refused() -> None:
    low, high = contract_for("air_temperature").limits(None) or (0, 0)
    assert low == -95
    assert high == pytest.approx(338.15)


def test_an_unknown_unit_is_as_none() -> None:
    assert contract_for("discharge").limits("firkin fortnight-1") == contract_for("discharge").limits(None)


@pytest.mark.parametrize("variable", CONTRACTS)
def test_every_contract_has_limits_that_are_no_point(variable: str) -> None:
    low, high = CONTRACTS[variable].limits(None) or (0, 0)
    assert low < high


@pytest.mark.parametrize("variable", CONTRACTS)
def test_a_filler_is_impossible_in_the_usual_unit_or_unusual(variable: str) -> None:
    contract = CONTRACTS[variable]
    low, high = contract.usual or contract.limits(next(iter(contract.ranges))) or (0, 0)
    assert not low <= -9999 <= high


def test_what_nobody_knows_is_generic() -> None:
    assert contract_for("unobtainium") is GENERIC
    assert GENERIC.limits("m") is None


def test_case_does_not_matter() -> None:
    assert contract_for("Discharge") is contract_for("discharge")


def test_every_unit_serves_a_contract() -> None:
    used = {unit for contract in CONTRACTS.values() for unit in contract.ranges}
    assert {canonical for canonical, _, _ in UNITS.values()} == used
