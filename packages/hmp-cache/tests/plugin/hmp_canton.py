"""Discharge of the gauges of a canton, as its office serves it: https://hydro.example.org/doc."""

from datetime import datetime

from hmp_cache.sources import Asset, Offer, Station
from hmp_cache.sources.answers import Row, as_documented, moment, number, table
from hmp_cache.sources.offers import chosen, one_station


class Canton:
    """The gauges of a canton: daily means of discharge."""

    name = "canton"

    def __init__(self, *, url="https://hydro.example.org", api_key=None):
        self.url, self.api_key = url, api_key

    def coverage(self):
        return [Offer("discharge", "m3 s-1", "1D", "daily mean", "CH", period=(datetime(1950, 1, 1), None))]

    def plan(self, request):
        chosen(self.name, self.coverage(), request)
        gauge = one_station(self.name, request, "2135")
        first, last = request.period or (None, None)
        query = {"from": first and f"{first:%Y-%m-%d}", "to": last and f"{last:%Y-%m-%d}"}
        said = {"gauge": gauge, "query": query}
        return [Asset(f"{self.url}/gauges/{gauge}/discharge", f"{gauge}.csv", request.period, said)]

    def fetch(self, asset, destination):
        query = asset.parameters["query"] | {"api_key": self.api_key}
        found = destination.json(asset.uri, query, also=(404,))
        if found is None:
            destination.rows(table([]))
            return
        with as_documented(asset.uri):
            rows = [Row(moment(day), number(value)) for day, value in found["values"]]
            where = (found["name"], found["lat"], found["lon"])
        destination.rows(table(rows))
        destination.station(Station(self.name, asset.parameters["gauge"], "discharge", *where))
