"""Values become codes and values again, the same as plain xarray reads, and nothing is wrapped or made up."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hmp_catalog.datasets.dtypes import dtype
from hmp_catalog.datasets.values.infinities import InfinityWarning
from hmp_catalog.datasets.values.instants import cf_units, in_unit, of_cf
from hmp_catalog.datasets.values.packing import PIECE
from hmp_catalog.datasets.values.plans import plan, read
from hmp_catalog.errors import OutOfRange
from hmp_core.errors import InvalidInput

TEMPERATURE = dtype("float32", precision=2, min_value=-50, max_value=60)
UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns")


def as_xarray(folder: Path, packing: object, codes: np.ndarray) -> xr.DataArray:
    """Return what plain xarray reads of codes and attributes; the last two cells were never written."""
    array = zarr.open_group(folder, mode="w", zarr_format=3).create_array(
        "v",
        shape=(len(codes) + 2,),
        chunks=(len(codes),),
        dtype=packing.stored,
        fill_value=packing.blank((1,))[0],
        dimension_names=["i"],
        attributes=packing.attributes(),
    )
    array[: len(codes)] = codes
    return xr.open_zarr(folder, consolidated=False)["v"].load()


# ── floats ───────────────────────────────────────────────────────────────────────────────────────────


@given(
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 4),
    st.integers(-1000, 1000),
    st.integers(0, 100_000),
    st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=20),
)
def test_packed_floats_are_right_to_half_of_the_precision(name, precision, low, span, shares) -> None:
    packing = plan(dtype(name, precision=precision, min_value=low, max_value=low + span))
    values = (low + span * np.array(shares)).astype(name)
    codes = packing.encode(values)
    found = packing.decode(codes)
    rounding = np.spacing(np.float32(max(abs(low), abs(low + span)))) if name == "float32" else 1e-9
    assert found.dtype == name
    assert (np.isnan(found) == np.isnan(values)).all()
    assert np.nanmax(np.abs(found - values.astype(float)), initial=0) <= 0.5 * 10.0**-precision + 2 * rounding
    assert (packing.missing(codes) == np.isnan(values)).all()


@given(st.integers(0, 3), st.integers(-500, 500), st.integers(1, 60_000), st.data())
def test_every_code_comes_back_as_itself(precision, low, span, data) -> None:
    packing = plan(dtype("float64", precision=precision, min_value=low, max_value=low + span))
    wide = np.int64(packing.high)
    codes = np.array(data.draw(st.lists(st.integers(0, int(wide)), min_size=1)), dtype=packing.stored)
    assert (packing.encode(packing.decode(codes)) == codes).all()


def test_plain_xarray_reads_the_same_floats(tmp_path) -> None:
    packing = plan(TEMPERATURE)
    codes = np.arange(packing.high + 1, dtype=packing.stored)
    read_by_others = as_xarray(tmp_path / "v.zarr", packing, codes)
    assert (packing.stored, packing.fill, packing.low, packing.high) == ("uint16", 0, 1, 11001)
    np.testing.assert_array_equal(read_by_others.values[:-2].astype("float32"), packing.decode(codes))
    assert np.isnan(read_by_others.values[[0, -1, -2]]).all()


@pytest.mark.parametrize("value", [60.006, -50.006, 1e6, -1e300])
def test_what_is_out_of_range_is_refused_by_name(value) -> None:
    values = np.zeros((3, 4))
    values[1, 2] = value
    with pytest.raises(OutOfRange, match=r"air_temperature: .* at \(11, 2\) is beyond -50 to 60") as refused:
        plan(TEMPERATURE).encode(values, of="air_temperature", at=(10, 0))
    assert (refused.value.value, refused.value.position, refused.value.low) == (value, (11, 2), -50)


def test_infinite_values_become_missing_with_one_warning_for_all_pieces() -> None:
    values = np.zeros(3 * PIECE)
    values[::PIECE] = [np.inf, -np.inf, np.nan]
    values[7] = np.inf
    mask = np.zeros(values.shape, dtype=bool)
    mask[7] = True
    before, packing = values.copy(), plan(TEMPERATURE)
    with pytest.warns(InfinityWarning, match=r"^air_temperature: .*, 2 of them") as warned:
        codes = packing.encode(np.ma.array(values, mask=mask), of="air_temperature")
    assert ([Path(each.filename).name for each in warned], packing.missing(codes).sum()) == ([Path(__file__).name], 4)
    np.testing.assert_array_equal(values, before)
    values[9] = 1e308  # not infinite: only its code is
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OutOfRange, match=r"1e\+308 at \(9,\)"):
            packing.encode(values)
    with pytest.raises(OutOfRange):
        plan(dtype("int16", min_value=0, max_value=9)).encode(np.array([np.inf]))


def test_out_of_range_is_found_in_later_pieces_and_in_views() -> None:
    values = np.zeros((4, PIECE // 2))
    values[3, 17] = 99
    for given_values, position in ((values, (3, 17)), (values.T, (17, 3))):
        with pytest.raises(OutOfRange) as refused:
            plan(TEMPERATURE).encode(given_values)
        assert refused.value.position == position


def test_the_bounds_themselves_are_kept_and_what_is_masked_may_be_anything() -> None:
    packing = plan(TEMPERATURE)
    values = np.ma.array([-50.0, 60.0, 1e30], mask=[False, False, True])
    assert packing.decode(packing.encode(values))[:2].tolist() == [-50.0, 60.0]
    assert packing.missing(packing.encode(values)).tolist() == [False, False, True]
    wide = plan(dtype("float32", precision=3, min_value=0, max_value=109999.999))
    assert wide.decode(wide.encode(np.float32([109999.999])))[0] == np.float32(109999.999)


def test_the_array_of_the_caller_stays_as_it_is_and_views_decode_in_place() -> None:
    packing = plan(TEMPERATURE)
    values = np.ma.array([[1.0, np.nan], [3.0, 4.0]], mask=[[0, 0], [1, 0]])
    before = values.copy()
    codes = packing.encode(values)
    np.testing.assert_array_equal(values.filled(-1), before.filled(-1))
    out = np.zeros((2, 4), dtype="float32")
    assert packing.decode(codes, out[:, ::2]) is not None
    np.testing.assert_array_equal(out, [[1, 0, np.nan, 0], [np.nan, 0, 4, 0]])
    with pytest.raises(InvalidInput, match="expected float32 of shape"):
        packing.decode(codes, np.zeros((2, 2)))


def test_plain_floats_are_kept_and_a_precision_rounds_them(tmp_path) -> None:
    values = np.array([1.23456, np.nan, np.inf, -0.0], dtype="float32")
    np.testing.assert_array_equal(plan(dtype("float32")).encode(values), values)
    rounded = plan(dtype("float32", precision=2))
    np.testing.assert_array_equal(rounded.encode(values), np.float32([1.23, np.nan, np.inf, 0]))
    assert rounded.attributes()["least_significant_digit"] == 2
    assert np.isnan(as_xarray(tmp_path / "v.zarr", rounded, rounded.encode(values)).values[[1, -1]]).all()
    with pytest.raises(OutOfRange, match="1e\\+300"):
        plan(dtype("float32")).encode([1e300])


# ── integers ─────────────────────────────────────────────────────────────────────────────────────────

INTEGER_NAMES = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@given(st.sampled_from(INTEGER_NAMES), st.data())
def test_packed_integers_are_exact_to_the_ends_of_their_type(name, data) -> None:
    room = np.iinfo(name)
    inside = st.integers(int(room.min), int(room.max))
    low, high = sorted([data.draw(inside), data.draw(inside)])
    assume(high - low < 2**64 - 2)
    packing = plan(dtype(name, min_value=low, max_value=high))
    listed = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=10))
    masks = data.draw(st.lists(st.booleans(), min_size=len(listed), max_size=len(listed)))
    values = np.ma.array(np.array(listed, dtype=name), mask=masks)
    found = packing.masked(packing.encode(values))
    assert found.dtype == name
    assert found.tolist() == values.tolist()
    beyond = data.draw(inside.filter(lambda n: not low <= n <= high) if (low, high) != (room.min, room.max) else inside)
    if not low <= beyond <= high:
        with pytest.raises(OutOfRange) as refused:
            packing.encode(np.array([low, beyond], dtype=name))
        assert (refused.value.value, refused.value.position) == (beyond, (1,))


def test_a_real_zero_is_not_missing(tmp_path) -> None:
    packing = plan(dtype("int16", min_value=-5, max_value=200))
    codes = packing.encode(np.ma.array([0, -5, 200, 0], mask=[0, 0, 0, 1]))
    assert packing.masked(codes).tolist() == [0, -5, 200, None]
    assert packing.decode(codes).tolist() == [0, -5, 200, 0]
    np.testing.assert_array_equal(
        as_xarray(tmp_path / "v.zarr", packing, codes).values, [0, -5, 200, np.nan, np.nan, np.nan]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int8", 128),
        ("int64", 2.0**63),
        ("uint8", -1),
        ("uint64", -1.0),
        ("uint64", 2.0**64),
        ("int64", -(2.0**63) * 1.001),
    ],
)
def test_integers_do_not_wrap(name, value) -> None:
    with pytest.raises(OutOfRange):
        plan(dtype(name)).encode([value], of="count")


def test_integers_take_whole_floats_and_refuse_fractions_and_nan() -> None:
    assert plan(dtype("int32")).encode([3.0, -2.0]).tolist() == [3, -2]
    assert plan(dtype("int64")).encode([-(2.0**63)]).tolist() == [-(2**63)]
    with pytest.raises(InvalidInput, match="fractions"):
        plan(dtype("int32")).encode([3.5])
    with pytest.raises(InvalidInput, match="nothing that means missing"):
        plan(dtype("int32")).encode([np.nan])
    marked = plan(dtype("int32", fillvalue=-9999))
    assert marked.masked(marked.encode([1.0, np.nan, -9999.0])).tolist() == [1, None, None]


# ── datetimes ────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40)
@given(st.sampled_from(UNITS), st.booleans(), st.lists(st.integers(-60, 120) | st.none(), min_size=1, max_size=9))
def test_datetimes_come_back_in_their_unit(unit, packed, years) -> None:
    bounds = {"min_value": "1900", "max_value": "2100"} if packed else {}
    packing = plan(dtype(f"datetime64[{unit}]", **bounds))
    values = np.array(["NaT" if y is None else str(1970 + y) for y in years], dtype="datetime64[Y]")
    values = values.astype(f"datetime64[{unit}]")
    found = packing.decode(packing.encode(values))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(packing.missing(packing.encode(values)), np.isnat(values))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("packed", [False, True])
def test_plain_xarray_reads_the_same_times(tmp_path, unit, packed) -> None:
    bounds = {"min_value": "1990-01-01", "max_value": "2030-01-01"} if packed else {}
    packing = plan(dtype(f"datetime64[{unit}]", **bounds))
    values = np.array(["1991", "NaT", "2004"], dtype="datetime64[Y]").astype(f"datetime64[{unit}]")
    found = as_xarray(tmp_path / "v.zarr", packing, packing.encode(values)).values
    np.testing.assert_array_equal(found, [*values.astype("datetime64[ns]"), *np.array(["NaT"] * 2, "datetime64[ns]")])


def test_times_out_of_range_or_finer_than_their_unit_are_refused() -> None:
    packing = plan(dtype("datetime64[h]", min_value="2000-01-01", max_value="2001-01-01"))
    assert packing.stored == "uint16"
    with pytest.raises(OutOfRange, match=r"1999-12-31T23.* beyond 2000-01-01T00 to 2001-01-01T00"):
        packing.encode(np.array(["1999-12-31T23"], dtype="datetime64[h]"))
    with pytest.raises(InvalidInput, match="finer"):
        packing.encode(np.array(["2000-06-01T00:30"], dtype="datetime64[m]"))
    with pytest.raises(InvalidInput, match="out of its reach"):
        in_unit(np.array(["1500-01-01"], dtype="datetime64[D]"), "ns", of="t")


@given(st.sampled_from([u for u in UNITS if u not in "YMW"]), st.integers(-100_000, 100_000))
def test_the_units_of_cf_are_read_as_they_were_written(unit, start) -> None:
    assume(1678 <= 1970 + np.datetime64(start, unit).astype("datetime64[Y]").astype(int) <= 2261)
    assert of_cf(cf_units(start, unit), "proleptic_gregorian", of="t") == (unit, start)


def test_times_are_not_counted_from_where_xarray_cannot() -> None:
    with pytest.raises(InvalidInput, match="expected a date of 1678 to 2261"):
        plan(dtype("datetime64[D]", dtype_encoded="int32", offset=-150_000)).attributes()


@pytest.mark.parametrize("unit", UNITS[:-1])
@pytest.mark.parametrize(
    ("low", "high"), [("1600-01-01", "2100-01-01"), ("1700-01-01", "4000-01-01"), ("2000-01-01", "2200-01-01")]
)
def test_times_of_a_wide_range_are_read_by_xarray_where_it_reads_times(unit, low, high) -> None:
    packing = plan(dtype(f"datetime64[{unit}]", min_value=low, max_value=high))
    times = np.array(["2001", "2090", "NaT"], dtype="datetime64[Y]").astype(f"datetime64[{unit}]")
    codes = packing.encode(times)
    stored = xr.Dataset({"v": ("i", codes, packing.attributes())})
    np.testing.assert_array_equal(xr.decode_cf(stored)["v"].values, times)
    np.testing.assert_array_equal(packing.decode(codes), times)
    with pytest.raises(OutOfRange):
        packing.encode(np.array(["1500"], dtype="datetime64[Y]").astype(f"datetime64[{unit}]"))


def test_times_that_are_not_understood_are_refused() -> None:
    for units, calendar in (("months since 2000-01-01", "standard"), ("days since 2000-01-01", "360_day")):
        with pytest.raises(InvalidInput, match="open it by xarray"):
            read("int32", {"units": units, "calendar": calendar})


# ── truth and text ───────────────────────────────────────────────────────────────────────────────────


def test_truth_and_text_are_read_by_xarray(tmp_path) -> None:
    truths = plan(dtype("bool"))
    found = as_xarray(tmp_path / "b.zarr", truths, truths.encode([True, False]))
    assert (found.dtype, found.values.tolist()) == (np.dtype(bool), [True, False, False, False])
    with pytest.raises(OutOfRange):
        truths.encode([0, 2])
    texts = plan(dtype("string"))
    codes = texts.encode(np.array(["Rhône", None, "a b"], dtype=object))
    assert as_xarray(tmp_path / "s.zarr", texts, codes).values.tolist() == ["Rhône", "", "a b", "", ""]
    assert texts.missing(codes).tolist() == [False, True, False]
    with pytest.raises(InvalidInput, match="3 is not text"):
        texts.encode(np.array(["a", 3], dtype=object))


# ── what a store says ────────────────────────────────────────────────────────────────────────────────

DECLARATIONS = [
    TEMPERATURE,
    dtype("float64"),
    dtype("float32", precision=3),
    dtype("float32", precision=2, dtype_encoded="int16", offset=273, fillvalue=-32768),
    dtype("int32", min_value=0, max_value=9),
    dtype("int32", fillvalue=-1),
    dtype("int64", dtype_encoded="uint8", offset=100),
    dtype("datetime64[m]", min_value="1900-01-01", max_value="2100-01-01"),
    dtype("datetime64[m]", dtype_encoded="int32", offset=-36816481),
    dtype("datetime64[M]"),
    dtype("bool"),
    dtype("string"),
]


@pytest.mark.parametrize("declared", DECLARATIONS, ids=lambda d: f"{d.name}-{d.precision}-{d.dtype_encoded}")
@pytest.mark.parametrize("coordinate", [False, True])
def test_a_store_says_how_it_was_packed(declared, coordinate) -> None:
    packing = plan(declared)
    written = json.loads(json.dumps(packing.attributes(coordinate=coordinate)))
    assert read(packing.stored, written) == packing
    assert ("_FillValue" in written) <= (not coordinate)


@pytest.mark.parametrize(
    "attributes",
    [
        {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": -1},
        {"scale_factor": 0.0123},
        {"add_offset": 3.0, "_FillValue": 7},
        {"_FillValue": 7},
        {},
        {"units": "hours since 1900-1-1 6:00:00.0", "calendar": "gregorian", "_FillValue": -1},
        {"units": "days since 2001-02-03"},
        {"scale_factor": 0.1, "add_offset": 0.0, "hmp_dtype": '{"name": "float32", "precision": 2, "min_value": 0, '
         '"max_value": 9}'},
        {"scale_factor": 0.5, "hmp_dtype": "not JSON"},
    ],
    ids=str,
)  # fmt: skip
def test_what_others_packed_is_read_as_xarray_reads_it(attributes) -> None:
    codes = np.array([0, 5, 7, -1, 300], dtype="int16")
    packing = read("int16", attributes)
    theirs = xr.decode_cf(xr.Dataset({"v": ("i", codes, attributes)}))["v"].values
    ours = packing.masked(codes)
    hidden = theirs.astype(float) != theirs.astype(float) if theirs.dtype.kind == "f" else np.isnat(theirs) if (
        theirs.dtype.kind == "M") else np.zeros(5, bool)  # fmt: skip
    np.testing.assert_array_equal(ours.mask, hidden)
    np.testing.assert_array_equal(ours.data[~hidden], theirs[~hidden])
    back = packing.encode(ours)
    np.testing.assert_array_equal(back[~hidden], codes[~hidden])


def test_any_scale_that_others_took_is_kept_code_for_code(tmp_path) -> None:
    said = {"scale_factor": -1.7250274674967954, "add_offset": 66825.5, "_FillValue": -32768}
    of = dtype("float64", dtype_encoded="int16", offset=66825.5, fillvalue=-32768, scale_factor=said["scale_factor"])
    codes = np.arange(-32768, 32768).astype("int16")
    packing = plan(of)
    assert {key: packing.attributes()[key] for key in said} == said
    assert read("int16", packing.attributes()) == packing
    assert np.array_equal(packing.encode(packing.decode(codes)), codes)
    assert np.array_equal(as_xarray(tmp_path, packing, codes).values[:-2], packing.decode(codes), equal_nan=True)
    assert plan(read("int16", said).dtype).attributes() == packing.attributes()


def test_a_value_whose_code_means_missing_is_refused() -> None:
    packing = read("int16", {"scale_factor": 1.0, "_FillValue": 7})
    with pytest.raises(OutOfRange):
        packing.encode([7.0])
    counted = plan(dtype("int32", dtype_encoded="int16", offset=100, fillvalue=5))
    with pytest.raises(OutOfRange):
        counted.encode([105])
    assert counted.decode(counted.encode([104])).tolist() == [104]


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"name": "float64", "precision": 9, "min_value": 0, "max_value": 1e9}, "more values than a double"),
        ({"name": "int8", "min_value": 0, "max_value": 300}, "more than it reaches"),
        ({"name": "int8", "min_value": 5, "max_value": 4}, "least value before"),
        ({"name": "int8", "min_value": 0.5, "max_value": 4}, "whole number"),
        ({"name": "int64", "min_value": -(2**63), "max_value": 2**63 - 1}, "no code is left"),
        ({"name": "float32", "precision": 1, "min_value": 0, "max_value": float("inf")}, "finite"),
        ({"name": "point"}, "geometry containers"),
        ({"name": "int8", "min_value": float("nan"), "max_value": 1}, "finite"),
    ],
)
def test_what_cannot_be_packed_is_refused(declared, why) -> None:
    with pytest.raises(InvalidInput, match=why):
        plan(dtype(**declared))


# ── in single precision ──────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 6), st.integers(-(10**7), 10**7), st.integers(1, 60_000))
def test_single_precision_gives_the_float_next_to_the_decimal(precision, first, count) -> None:
    unit = 10.0**-precision
    packing = plan(
        dtype("float32", precision=precision, min_value=first * unit, max_value=(first + count) * unit),
    )
    codes = np.arange(packing.low, packing.high + 1, dtype=packing.stored)
    steps = round(packing.offset / packing.scale) + np.arange(packing.low, packing.high + 1)
    expected = (steps.astype("float64") / 10**precision).astype("float32")
    found = packing.decode(np.append(packing.blank((1,)), codes))
    assert np.isnan(found[0])
    np.testing.assert_array_equal(found[1:], expected)
    assert (packing.encode(found[1:]) == codes).all() or count + abs(first) > 2**23


def test_range_beyond_the_type_is_refused() -> None:
    """Ends of 1e6 came back infinite from float16."""
    with pytest.raises(InvalidInput, match="more than it reaches"):
        plan(dtype("float16", precision=0, min_value=-1e6, max_value=1e6))
    assert plan(dtype("float16", precision=0, min_value=-65504, max_value=65504)).high == 131009


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(InvalidInput, match=r"v: .*udc80.* is no text"):
        plan(dtype("string")).encode(np.array(["a", "\udc80"], dtype=object), of="v")


def test_a_zero_is_zero() -> None:
    packing = plan(dtype("float32", precision=3, min_value=-1, max_value=50))
    assert packing.decode(packing.encode([0.0])).tolist() == [0.0]


@given(st.data())
def test_values_that_are_surely_kept_are_kept(data) -> None:
    kept = data.draw(
        st.sampled_from(
            [
                TEMPERATURE,
                dtype("float64", precision=1, dtype_encoded="int8", offset=3, fillvalue=5),
                dtype("float32"),
                dtype("float64", precision=2),
                dtype("int16", min_value=-3, max_value=9),
            ]
        )
    )
    kind = data.draw(st.sampled_from(["float32", "float64"]))
    values = np.array(data.draw(st.lists(st.floats(width=32), max_size=5)), dtype=kind)
    packing = plan(kept)
    if packing.surely(values):
        packing.encode(values)
    assert packing.surely(np.array([1.0, float("nan"), -3.0], dtype="float32")) == (
        kept.kind == "float" and kept.fillvalue is None
    )


def test_an_instant_before_all_that_a_count_of_others_reaches_is_refused() -> None:
    made = read("int64", {"units": "days since 2001-01-01"}, of="time")
    with pytest.raises(OutOfRange) as refused:
        made.encode(np.array([5 - 2**63]).view("M8[D]"), of="time")
    assert refused.value.variable == "time"


@given(st.integers(0, 4), st.integers(-(10**5), 10**5), st.integers(1, 60_000), st.lists(st.floats(0, 1), min_size=1))
def test_single_precision_is_right_to_half_of_the_precision(precision, first, count, shares) -> None:
    unit = 10.0**-precision
    low, high = first * unit, (first + count) * unit
    packing = plan(dtype("float32", precision=precision, min_value=low, max_value=high))
    values = (low + (high - low) * np.array(shares)).clip(low, high).astype("float32")
    found = packing.decode(packing.encode(values))
    rounding = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    assert np.abs(found.astype(float) - values.astype(float)).max() <= 0.5 * unit + 2 * rounding
    assert (packing.encode(found) == packing.encode(values)).all()
