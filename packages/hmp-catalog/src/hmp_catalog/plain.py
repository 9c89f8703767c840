"""Values as JSON keeps them: what an event, a manifest or a configuration may hold, and how it is written."""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from pathlib import PurePath
from typing import Any
from uuid import UUID

from hmp_core.errors import InvalidInput

#: Deeper than this is a mistake, or refers to itself.
_DEEPEST = 100
#: Python neither writes nor reads whole numbers of more than 4300 digits.
_LONGEST = 4096  # bits
#: A name is typed, shown in a column, and part of a key.
LONGEST_NAME = 255


def plain(value: Any, where: str = "value", depth: int = 0) -> Any:
    """Return ``value`` as JSON keeps it: NaN and infinities as text, times as ISO 8601 in UTC, sets in order.

    Raises
    ------
    InvalidInput
        For something that has no plain form; ``where`` says which.
    """
    if depth > _DEEPEST:
        message = f"{where[:80]}... is nested more than {_DEEPEST} deep, or refers to itself"
        raise InvalidInput(message)
    if isinstance(value, Mapping):
        return _mapping(value, where, depth)
    if isinstance(value, (list, tuple)):
        return [plain(v, f"{where}[{n}]", depth + 1) for n, v in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(v, where, depth + 1) for v in value), key=dumps)
    found = _scalar(value, where)
    if found is not _UNKNOWN:
        return found
    if hasattr(value, "tolist"):  # a numpy scalar or array; a long double gives itself
        kept = value.tolist()
        if not isinstance(kept, type(value)):
            return plain(kept, where, depth + 1)
    message = f"{where} is a {type(value).__name__}, which cannot be kept as JSON; pass numbers, text, lists, mappings"
    raise InvalidInput(message)


_UNKNOWN = object()


def _scalar(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _writable(value, where)
    if isinstance(value, int):
        if value.bit_length() > _LONGEST:
            message = f"{where} is a whole number of {value.bit_length()} bits, expected at most {_LONGEST}"
            raise InvalidInput(message)
        return int(value)
    if isinstance(value, float):
        # float() first: numpy's own float64 calls itself "np.float64(nan)"
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, datetime):
        return None if value != value else _in_utc(value, where).isoformat()  # noqa: PLR0124 - pandas' NaT
    if isinstance(value, (date, UUID, PurePath)):
        return _writable(str(value), where)
    if type(value).__name__ == "datetime64":  # numpy is not imported for this
        return plain(value.astype("datetime64[us]").item(), where)
    return _UNKNOWN


def _mapping(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    kept = {
        # nearly all of them, and it is not worth a word about where it stands: a trial has twenty
        _writable(str(k), where): v if type(v) is float and math.isfinite(v) else plain(v, f"{where}.{k}", depth + 1)
        for k, v in value.items()
    }
    if len(kept) != len(value):
        message = f"{where} has keys that are the same as text, as 1 and '1'; give each its own name"
        raise InvalidInput(message)
    return kept


def _writable(value: str, where: str) -> str:
    """Return text that every file and database can keep: no NUL, no half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        message = f"{where} is {shown(value)}, which is not valid Unicode: {error.reason}"
        raise InvalidInput(message) from error
    if "\0" in value:
        message = f"{where} is {shown(value)}; a NUL character cannot be kept"
        raise InvalidInput(message)
    return str.__str__(value)  # an enumeration that is text calls itself by its name


def printable(value: str) -> str:
    """Return text that may hold anything, as an error message, in a form that can be kept."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def shown(value: Any) -> str:
    """Return the head of a value as an error message shows it."""
    try:
        return f"{value!r:.80}"
    except (ValueError, RuntimeError):  # Python writes no number of more than 4300 digits, and no list in itself 1000 x
        return f"a {type(value).__name__}"


def number(value: Any) -> float | None:
    """Return a number that was kept by `plain`; None stays None."""
    return None if value is None else float(value)


def real(value: Any, where: str) -> float:
    """Return a number as a float; NaN and infinities are numbers, text is not.

    Raises
    ------
    InvalidInput
        If it is not a number, or too great for a float.
    """
    try:
        # an array of one is no number either: numpy itself is about to refuse it
        if isinstance(value, (str, bytes, bytearray)) or getattr(value, "ndim", None):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{where} is {shown(value)}, expected a number"
        raise InvalidInput(message) from error


def utc(moment: datetime) -> datetime:
    """Return a time as the database keeps it: UTC, without a zone; a naive time is taken as UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _in_utc(moment: datetime, where: str) -> datetime:
    try:
        return utc(moment)
    except OverflowError as error:
        message = f"{where} is {moment}, which in UTC lies outside the years 1 to 9999"
        raise InvalidInput(message) from error


def moment(text: str | None) -> datetime | None:
    """Return a time that was kept by `plain`; None stays None."""
    return None if text is None else utc(datetime.fromisoformat(text))


def from_microseconds(at: int) -> datetime:
    """Return the UTC time of an event's wall clock."""
    return datetime.fromtimestamp(at / 1e6, UTC).replace(tzinfo=None)


def text(value: Any, where: str) -> str | None:
    """Return ``value`` if it is text or None.

    Raises
    ------
    InvalidInput
        If it is anything else, empty, or cannot be kept.
    """
    return None if value is None else word(value, where, most=None)


def word(value: Any, where: str, *, most: int | None = LONGEST_NAME) -> str:
    """Return ``value`` if it is text, of at most so many characters: a name, unless told otherwise.

    Raises
    ------
    InvalidInput
        If it is anything else, empty, longer, or cannot be kept.
    """
    if isinstance(value, str) and value.strip():
        if most is not None and len(value) > most:
            message = f"{where} has {len(value)} characters, expected at most {most}: {value[:40]!r}..."
            raise InvalidInput(message)
        return _writable(value, where)
    message = f"{where} is {shown(value)}, expected text"
    raise InvalidInput(message)


def label(value: Any, where: str) -> str:
    """Return a name that may be empty where there is none, as a unit; see `word`.

    Raises
    ------
    InvalidInput
        If it is not text, longer than a name, or cannot be kept.
    """
    return value if isinstance(value, str) and not value else word(value, where)


def one_of(value: Any, known: Collection[str], where: str) -> str:
    """Return ``value`` if it is one of the words that are known.

    Raises
    ------
    InvalidInput
        If it is anything else.
    """
    if isinstance(value, str) and value in known:
        return str.__str__(value)
    message = f"{where} is {shown(value)}, expected one of {', '.join(known)}"
    raise InvalidInput(message)


def whole(value: Any, where: str) -> int | None:
    """Return a whole number of 64 bits, or None.

    Raises
    ------
    InvalidInput
        If it is anything else.
    """
    if value is None:
        return None
    try:
        found = operator.index(value)
    except TypeError:
        found = 1 << 63
    if isinstance(value, bool) or not -(1 << 63) <= found < 1 << 63:
        message = f"{where} is {shown(value)}, expected a whole number of 64 bits"
        raise InvalidInput(message)
    return found


def time_text(value: Any, where: str) -> str | None:
    """Return a time as ISO 8601 text in UTC: of text, dates, datetimes, pandas and numpy times.

    Raises
    ------
    InvalidInput
        If it is not a time.
    """
    if value is None:
        return None
    kept = None if isinstance(value, (bool, int, float)) else plain(value, where)
    try:
        if not isinstance(kept, str):
            raise ValueError
        found = datetime.fromisoformat(kept)
    except ValueError as error:
        message = f"{where} is {shown(value)}, expected a time such as 2001-12-31 or a datetime"
        raise InvalidInput(message) from error
    return _in_utc(found, where).isoformat()


def period_text(value: Any, where: str) -> tuple[str | None, str | None] | None:
    """Return the first and last time of a period as ISO 8601 text in UTC, or None.

    Raises
    ------
    InvalidInput
        If it is not a pair of times (or None), or ends before it begins.
    """
    if value is None:
        return None
    try:
        if isinstance(value, (str, Mapping)):
            raise TypeError
        first, last = value
    except (TypeError, ValueError) as error:
        message = f"{where} is {shown(value)}, expected its first and last time"
        raise InvalidInput(message) from error
    begin, end = time_text(first, where), time_text(last, where)
    if begin is not None and end is not None and begin > end:
        message = f"{where} ends before it begins: {begin} to {end}"
        raise InvalidInput(message)
    return begin, end


def uuid_text(value: Any, where: str) -> str | None:
    """Return the id of a simulation as text, or None.

    Raises
    ------
    InvalidInput
        If it is not a UUID.
    """
    if value is None:
        return None
    try:
        return str(UUID(str(value)))
    except ValueError as error:
        message = f"{where} is {shown(value)}, expected a UUID"
        raise InvalidInput(message) from error


def numbers(values: Any, count: int, where: str) -> tuple[float, ...] | None:
    """Return ``count`` finite numbers, or None.

    Raises
    ------
    InvalidInput
        If they are fewer, more, or something else.
    """
    if values is None:
        return None
    try:
        found = () if isinstance(values, (str, bytes)) else tuple(real(v, where) for v in values)
    except (TypeError, InvalidInput):
        found = ()
    if len(found) != count or not all(map(math.isfinite, found)):
        message = f"{where} is {shown(values)}, expected {count} numbers"
        raise InvalidInput(message)
    return found


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return ``value`` if it is a mapping.

    Raises
    ------
    InvalidInput
        If it is anything else.
    """
    if not isinstance(value, Mapping):
        message = f"{where} is a {type(value).__name__}, expected a mapping of names to values"
        raise InvalidInput(message)
    return value


def dumps(value: Any) -> str:
    """Return canonical JSON text: sorted keys, no spare blanks; the same value gives the same text."""
    return _CANONICAL(value)


# made once: json.dumps makes an encoder for each call that asks for anything unusual
_CANONICAL = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value."""
    return digest(plain(value))


def digest(kept: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value that is plain already."""
    return hashlib.sha256(dumps(kept).encode()).hexdigest()
