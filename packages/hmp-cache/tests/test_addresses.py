"""What a URI tells without being asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache import InputsNamespace
from hmp_cache.addresses import file_name, host_of, public, scheme_of
from hmp_core.errors import InvalidInput

SECRET = "Zx81kQ44aaPl0Vv9e2"


@pytest.mark.parametrize(
    "name",
    [
        "apikey", "api_key", "API-Key", "key", "token", "access_token", "sig", "signature", "X-Amz-Signature",
        "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature", "client_secret", "password", "appid",
        "subscription-key", "AWSAccessKeyId", "jwt", "api%5Fkey",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "form", ["https://example.org/q.csv?a=1&{}&b=2", "https://h/q#{}", "zip://q.csv::https://h/x.zip?{}", "http://h?{}"]
)
def test_what_lets_somebody_in_is_not_shown(name: str, form: str) -> None:
    shown = public(form.format(f"{name}={SECRET}"))
    assert SECRET not in shown
    assert shown == form.format(f"{name}=...")


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.org/q.csv?station=K1&date=2001-01-01T00:00:00&key=discharge",
        "https://example.org/a@b/q.csv?mail=a@b",
        "https://example.org/?", "https://example.org/q.csv?keys=1&tokens=2&design=3&monkey=7",
        "s3://bucket/key=2001/q.parquet", "memory://q.csv", "http://[::1]:8080/q.csv", "local:///x",
    ],
)  # fmt: skip
def test_the_rest_stays_as_it_was_written(uri: str) -> None:
    assert public(uri) == uri


@pytest.mark.parametrize("place", ["me:pass@h", "me@h", "a:b@c@h"])
def test_names_and_passwords_are_left_out(place: str) -> None:
    assert public(f"ftp://{place}/q.csv?x=@") == "ftp://h/q.csv?x=@"


@given(st.text())
def test_it_takes_anything_and_again(text: str) -> None:
    assert public(public(text)) == public(text)
    host_of(f"http://{text}")
    file_name(f"memory://{text}")


@pytest.mark.parametrize("text", ["q.csv", "", None, 7, "mailto:ada", "http://", "https:///q.csv", "http://h:99999/"])
def test_what_is_no_address(text: Any) -> None:
    with pytest.raises(InvalidInput):
        scheme_of(text)


def test_an_input_is_known_by_its_address_without_the_key(data: InputsNamespace, server: Any, reply: Any) -> None:
    """A new key is no new input, and none is written anywhere."""
    for key in ("first-s3cret", "second-s3cret"):
        uri = server.on(f"/q.csv?station=1&apikey={key}", reply())
        entry = data.fetch(uri, variable="discharge", refresh=True)
    assert entry.uri == f"{server.address}/q.csv?station=1&apikey=..."
    assert len(data.find()) == 1
    assert [asked.partition("apikey=")[2] for asked, _ in server.asked] == ["first-s3cret", "second-s3cret"]
    data.sql("FROM entries")
    data.close()
    for path in data.workspace.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


def test_no_log_has_a_key(data: InputsNamespace, server: Any, reply: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    data.fetch(server.on("/q.csv?token=s3cret", reply()), variable="discharge")
    assert "token=..." in caplog.text
    assert "s3cret" not in caplog.text
