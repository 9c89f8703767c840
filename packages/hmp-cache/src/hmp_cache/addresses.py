"""What a URI tells without being asked: its scheme, the name of the file, and the form that may be kept and shown."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from hmp_core.errors import InvalidInput

#: Parameters of a query that let somebody in, in lower case, without ``_`` and ``-``.
_SECRET = frozenset({
    "apikey", "token", "accesstoken", "accesskey", "authtoken", "privatetoken", "authkey", "authorization", "secret",
    "clientsecret", "password", "passwd", "pwd", "passphrase", "signature", "sig", "credential", "credentials",
    "sessionid", "sessiontoken", "jwt", "bearer", "idtoken", "refreshtoken", "subscriptionkey", "userkey", "appkey",
    "applicationkey", "privatekey", "awsaccesskeyid", "googleaccessid", "keypairid",
})  # fmt: skip
#: Parameters that do so in one service and say what is wanted in another: the value tells. Two inputs whose URIs differ
#: in what is hidden would be one.
_PERHAPS = frozenset({"key", "auth", "session", "policy", "appid"})
_RANDOM = re.compile(r"(?=.*\d)[A-Za-z0-9_.~+/%-]{16,}=*$")
_SECRET_BEGINNINGS = ("x-amz-", "x-goog-", "x-ms-")
_HIDDEN = "..."
#: Letters that let nobody in, and stand in any sentence.
_SHORT = 3
_PAIR = re.compile(r"([^&;=?#]+)=([^&;#]*)")


def public(uri: str) -> str:
    """Return a URI without what lets somebody in: what is kept, shown, and what an input is known by.

    User name and password are left out; the values of parameters such as ``apikey``, ``token``, ``signature`` or
    ``X-Amz-Credential`` are replaced.

    Examples
    --------
    >>> public("https://me:secret@example.org/q.csv?year=2001&api_key=1234")
    'https://example.org/q.csv?year=2001&api_key=...'
    """
    return "::".join(_public(part) for part in uri.split("::"))


def _public(uri: str) -> str:
    scheme, mark, rest = uri.partition("://")
    place, query, asked = rest.partition("?")
    place, fragment, anchor = place.partition("#") if "#" in place else (place, "", "")
    host, slash, path = place.partition("/")
    found = f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}{fragment}{_hidden(anchor)}{query}{_hidden(asked)}"
    return found if mark else _hidden(uri)


def without_secrets(text: str, uri: str) -> str:
    """Return what somebody said who was asked for a URI, without what lets in there: services repeat wrong keys.

    Examples
    --------
    >>> without_secrets("no such key: 1234", "https://example.org/q.csv?year=2001&api_key=1234")
    'no such key: ...'
    """
    words = {pair[2] for pair in _PAIR.finditer(uri) if lets_in(pair[1], pair[2])}
    words |= {word for part in uri.split("::") for word in _credentials(part)}
    for word in sorted(words | {unquote(word) for word in words}, key=len, reverse=True):
        text = text.replace(word, _HIDDEN) if len(word) > _SHORT else text
    return text


def _credentials(uri: str) -> list[str]:
    host = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0]
    user, _, password = host.rpartition("@")[0].partition(":")
    return [password or user]


def _hidden(query: str) -> str:
    return _PAIR.sub(lambda pair: f"{pair[1]}={_HIDDEN}" if pair[2] and lets_in(*pair.groups()) else pair[0], query)


def lets_in(parameter: str, value: str) -> bool:
    """Return whether what goes by a name is for one user alone: a password, a key.

    Examples
    --------
    >>> lets_in("api_key", "1234"), lets_in("key", "q"), lets_in("key", "0a1b2c3d4e5f6a7b")
    (True, False, True)
    """
    name = unquote(parameter).lower().strip()
    if name in _PERHAPS:
        return _RANDOM.match(value) is not None
    return name.startswith(_SECRET_BEGINNINGS) or name.replace("_", "").replace("-", "") in _SECRET


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI, in lower case; of a chain as ``zip::https://...`` all of them.

    Raises
    ------
    InvalidInput
        For what is no URI, or an HTTP address without a host.
    """
    if not isinstance(uri, str) or "://" not in uri:
        message = f"{uri!r} is no URI; expected as in https://example.org/q.csv; a local file is added with add()"
        raise InvalidInput(message)
    scheme = uri.partition("://")[0].lower()
    if scheme in {"http", "https"} and not host_of(uri):
        message = f"{public(uri)}: names no host; expected as in https://example.org/discharge.csv"
        raise InvalidInput(message)
    return scheme


def host_of(uri: str) -> str | None:
    """Return the host of a URI with its port, in lower case; None where there is none.

    Examples
    --------
    >>> host_of("https://me@Example.org:8443/q.csv"), host_of("memory://q.csv/x"), host_of("http://[::1")
    ('example.org:8443', 'q.csv', None)
    """
    try:
        found = urlsplit(uri)
        port = found.port
    except ValueError:  # brackets that hold no address, a port that is none
        return None
    return f"{found.hostname}:{port}" if found.hostname and port else found.hostname


def file_name(uri: str) -> str:
    """Return what a file is called that comes from a URI: its last part, else the host.

    Examples
    --------
    >>> file_name("https://example.org/a/q%201.csv?year=2001"), file_name("https://example.org/")
    ('q 1.csv', 'example-org')
    >>> file_name("zip://q.csv::https://example.org/all.zip")
    'q.csv'
    """
    first = uri.partition("::")[0] if "://" in uri.partition("::")[0] else uri
    scheme, _, rest = first.partition("://")
    if scheme.lower() not in {"http", "https", "file"}:
        return PurePosixPath(unquote(rest.partition("?")[0])).name or scheme
    parts = urlsplit(first)
    return PurePosixPath(unquote(parts.path)).name or (parts.hostname or "file").replace(".", "-")
