"""The Fulda record: where it is, what its columns are, and why its discharge must be in m3/s."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from hmp_core.errors import CorruptError, InvalidInput, MissingPart, PathNotFound
from hydromodpy.demo import evapotranspiration, fulda

needs_spotpy = pytest.mark.skipif(find_spec("spotpy") is None, reason="the record ships inside spotpy")


@pytest.fixture(scope="module")
def record():
    return fulda.read()


@needs_spotpy
def test_the_file_is_found_without_importing_spotpy():
    code = "import sys; from hydromodpy.demo import fulda; fulda.source_file(); sys.exit('spotpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_spotpy_the_error_names_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['spotpy'] = None\n"
        "from hydromodpy.demo import fulda; from hmp_core.errors import MissingPart\n"
        "try: fulda.source_file()\n"
        "except MissingPart as error: print(error.install, '|', error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("hmp-hydromodpy[demo] | the Fulda record ships inside spotpy")
    assert "spotpy is not installed" in done.stdout


def test_a_spotpy_without_examples_is_named(tmp_path, monkeypatch):
    (tmp_path / "spotpy").mkdir()
    (tmp_path / "spotpy" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "spotpy", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingPart, match="came without examples/cmf_data"):
        fulda.source_file()


@needs_spotpy
def test_ten_years_without_a_gap(record):
    assert record.shape == (3653, 3)
    assert record.index.name == "time"
    assert record.index.equals(pd.date_range("1979-01-01", "1988-12-31"))
    assert not record.isna().any(axis=None)


@needs_spotpy
def test_columns_are_those_of_the_file(record):
    assert record.loc["1979-01-02"].to_dict() == {
        "precipitation": 0.6,
        "air_temperature": -15.35,
        "discharge": 110.0,
    }
    assert record.attrs["units"] == {"precipitation": "mm d-1", "air_temperature": "degC", "discharge": "m3 s-1"}


@needs_spotpy
def test_the_file_itself_says_cubic_metres_a_second():
    assert fulda.source_file().read_text(encoding="utf-8").splitlines()[1].endswith("mm/day,m³/s")


@needs_spotpy
def test_only_cubic_metres_a_second_close_the_water_balance(record):
    """Rain minus runoff must be what can evaporate; as mm/d the river would carry 13 times the rain."""
    rain = record["precipitation"].mean()
    runoff = fulda.to_depth(record["discharge"]).mean()
    demand = evapotranspiration.oudin(record["air_temperature"], record.index.day_of_year, fulda.LATITUDE).mean()
    assert 0.35 < runoff / rain < 0.45
    assert 0.7 < (rain - runoff) / demand < 1.0
    assert record["discharge"].mean() / rain > 13


@needs_spotpy
def test_half_a_degree_of_latitude_does_not_matter(record):
    """Why the middle of the catchment is good enough."""
    here, north = (
        evapotranspiration.oudin(record["air_temperature"], record.index.day_of_year, latitude).sum()
        for latitude in (fulda.LATITUDE, fulda.LATITUDE + 0.5)
    )
    assert north == pytest.approx(here, rel=0.01)


@needs_spotpy
def test_a_copy_reads_the_same(tmp_path, record):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(fulda.source_file().read_bytes())
    pd.testing.assert_frame_equal(fulda.read(str(copy)), record)


def test_a_missing_copy_is_named(tmp_path):
    with pytest.raises(PathNotFound, match="nowhere"):
        fulda.read(tmp_path / "nowhere.csv")


HEADER = "date,tmax,tmin,tmean,Prec,Q\n#,°C,°C,°C,mm/day,m³/s\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "begins with"),
        (HEADER.replace("m³/s", "mm/day"), "begins with"),
        (HEADER, "missing"),
        (HEADER + "01.01.1979,1,1,1,1,1\n03.01.1979,1,1,1,1,1\n", "missing"),
        (HEADER + "01.01.1979,1,1,1,,1\n02.01.1979,1,1,1,1,1\n", "missing"),
        (HEADER + "01.01.1979,1,1,1,wet,1\n", "cannot be read"),
        (HEADER + "1979-01-01,1,1,1,1,1\n", "cannot be read"),
    ],
)
def test_another_file_is_refused(tmp_path, content, why):
    path = tmp_path / "fulda_climate.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorruptError, match=why):
        fulda.read(path)


def test_another_encoding_is_refused(tmp_path):
    path = tmp_path / "fulda_climate.csv"
    path.write_bytes(HEADER.encode("latin-1"))
    with pytest.raises(CorruptError, match="cannot be read"):
        fulda.read(path)


def test_one_cubic_metre_a_second_over_86_point_4_square_kilometres_is_a_millimetre_a_day():
    assert fulda.to_depth(1.0, area_km2=86.4) == 1.0


def test_the_conversions_undo_each_other():
    flows = np.array([0.0, 8.55, 360.0])
    assert fulda.to_discharge(fulda.to_depth(flows)) == pytest.approx(flows, rel=1e-14)


@pytest.mark.parametrize("area", [0.0, -1.0, float("nan")])
def test_an_area_that_is_not_positive_is_refused(area):
    with pytest.raises(InvalidInput, match="catchment area"):
        fulda.to_depth(1.0, area_km2=area)
