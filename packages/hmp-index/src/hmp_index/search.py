"""How well a text answers a few words: accents folded, every word required, prefixes counted, nothing downloaded.

The score of a word in a field is the weight of the field, whole if the word stands there as it is, half if a longer
word begins with it. The score of a query is the sum over its words of the best score among the fields; the same
idea as the per-field boosts of BM25F (Robertson et al. 2004, doi:10.1145/1031171.1031181), without the term
frequencies, which mean little in fields of a few words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hmp_index.records import Hit

#: How much a word counts by where it stands.
WEIGHTS: Mapping[str, float] = {
    "name": 5.0,
    "tags": 4.0,
    "study_area_name": 4.0,
    "project": 3.0,
    "workspace": 3.0,
    "scientific_objective": 2.0,
    "description": 1.0,
}

_PREFIX = 0.5
_WORD = re.compile(r"[^\W_]+")
#: Letters that Unicode does not decompose into a letter and an accent, but people type without.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})


def folded(text: str) -> str:
    """Return ``text`` without accents, in one case.

    Examples
    --------
    >>> folded("Forêt d'Ørsted, GRÖSSE")
    "foret d'orsted, grosse"
    """
    # a decomposed letter may have a case again: "℠" becomes "SM"
    once = unicodedata.normalize("NFKD", text.casefold())
    decomposed = unicodedata.normalize("NFKD", once.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).translate(_PLAIN)


def words(text: str) -> list[str]:
    """Return the folded words of a text: runs of letters and digits; whatever else separates them.

    Examples
    --------
    >>> words("Saint-Brieuc, l'Évron (2019)")
    ['saint', 'brieuc', 'l', 'evron', '2019']
    """
    return _WORD.findall(folded(text))


def score(query: Sequence[str], fields: Mapping[str, str | None]) -> float:
    """Return how well some fields answer a query; 0 if a word of it stands nowhere.

    Parameters
    ----------
    query
        Folded words, as `words` gives them.
    fields
        Name of a field (see `WEIGHTS`) -> its text.

    Examples
    --------
    >>> score(["fulda"], {"name": "Fulda base", "description": "the Fulda at Bad Hersfeld"})
    5.0
    >>> score(["ful", "hers"], {"name": "Fulda base", "description": "the Fulda at Bad Hersfeld"})
    3.0
    >>> score(["fulda", "rhine"], {"name": "Fulda base"})
    0.0
    """
    if not query:
        return 0.0
    texts = {name: words(text) for name, text in fields.items() if text}
    total = 0.0
    for word in query:
        best = max((WEIGHTS[name] * _presence(word, found) for name, found in texts.items()), default=0.0)
        if not best:
            return 0.0
        total += best
    return total


def _presence(word: str, found: Sequence[str]) -> float:
    if word in found:
        return 1.0
    return _PREFIX if any(other.startswith(word) for other in found) else 0.0


def ranked(hits: Iterable[Hit], query: Sequence[str]) -> list[Hit]:
    """Return the hits that answer a query, best first, each with its score; equals stay in the order they came."""
    scored = (replace(hit, score=score(query, _fields(hit))) for hit in hits)
    return sorted((hit for hit in scored if hit.score), key=lambda hit: -(hit.score or 0.0))


def _fields(hit: Hit) -> dict[str, str | None]:
    return {
        "name": hit.name,
        "tags": " ".join(hit.tags),
        "study_area_name": hit.study_area_name,
        "project": f"{hit.project} {hit.project_name}",
        "workspace": hit.workspace,
        "scientific_objective": hit.scientific_objective,
        "description": hit.description,
    }
