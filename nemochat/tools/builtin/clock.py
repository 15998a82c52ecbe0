"""The date and time, here and elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import ToolOutcome
from nemochat.tools.making import FunctionTool, builtin, failed

Clock = Callable[[], datetime]
"""The time now, with its zone."""

OFFERED = builtin("current_time", "Get the current time.", {"timezone": {"type": "string"}}, (), is_harmless=True)

_OFFSET = re.compile(r"(?:utc|gmt)?\s*([+-])(\d{1,2})(?::?(\d{2}))?")
_LONGEST = 60
# People name a city or an abbreviation; the database of zones has one city for each zone.
_ELSEWHERE = {
    "Europe/London": "uk england britain scotland wales leeds bristol york glasgow cardiff manchester edinburgh bst",
    "Europe/Paris": "france lyon nantes marseille",
    "Europe/Berlin": "germany hamburg bremen munich cologne frankfurt",
    "Europe/Madrid": "spain seville barcelona valencia",
    "Europe/Lisbon": "portugal porto",
    "Europe/Rome": "italy milan turin naples florence venice",
    "Europe/Zurich": "switzerland basel geneva bern",
    "Europe/Vienna": "austria graz salzburg",
    "Europe/Prague": "czechia brno",
    "Europe/Warsaw": "poland gdansk krakow",
    "Europe/Oslo": "norway bergen",
    "Europe/Stockholm": "sweden malmo gothenburg",
    "Europe/Helsinki": "finland tampere",
    "Europe/Copenhagen": "denmark aarhus",
    "Europe/Dublin": "ireland cork galway",
    "Europe/Brussels": "belgium ghent antwerp bruges",
    "Europe/Amsterdam": "netherlands holland utrecht leiden delft rotterdam",
    "Europe/Athens": "greece",
    "Europe/Zagreb": "croatia split",
    "Europe/Kyiv": "ukraine odessa lviv kiev",
    "Europe/Moscow": "russia msk saint_petersburg",
    "Europe/Istanbul": "turkey ankara izmir",
    "America/New_York": "new_york_city nyc boston miami washington philadelphia atlanta est edt eastern",
    "America/Chicago": "houston dallas austin cst cdt central",
    "America/Denver": "mst mdt mountain salt_lake_city",
    "America/Los_Angeles": "la seattle portland san_francisco san_diego las_vegas california pst pdt pacific",
    "America/Toronto": "ottawa montreal quebec",
    "America/Sao_Paulo": "rio rio_de_janeiro brasilia",
    "America/Mexico_City": "mexico",
    "America/Lima": "cusco peru",
    "Africa/Johannesburg": "cape_town south_africa durban",
    "Asia/Tokyo": "japan osaka kyoto jst",
    "Asia/Seoul": "busan korea south_korea kst",
    "Asia/Kolkata": "india delhi new_delhi mumbai pune bangalore chennai hyderabad ist",
    "Asia/Shanghai": "china beijing shenzhen guangzhou",
    "Asia/Ho_Chi_Minh": "hanoi vietnam saigon",
    "Asia/Jerusalem": "haifa israel",
    "Asia/Karachi": "lahore pakistan islamabad",
    "Asia/Dubai": "abu_dhabi uae",
    "Australia/Sydney": "canberra aest aedt",
    "Pacific/Auckland": "new_zealand wellington",
}


def current_time(clock: Clock) -> FunctionTool:
    """Tells the time of the clock that is handed in."""

    async def run(arguments: dict[str, Any]) -> ToolOutcome:
        now, place = clock(), sanitize(str(arguments.get("timezone", "")), strict=True).strip()
        if place.casefold() not in ("", "local", "here"):
            zone = find_zone(place)
            if zone is None:
                return failed(f"the time zone “{place[:_LONGEST]}” is not known")
            now = now.astimezone(zone)
        return ToolOutcome(f"{now:%A}, {now.day} {now:%B} {now.year}, {now:%H:%M}")

    return FunctionTool(OFFERED, run)


def find_zone(place: str) -> tzinfo | None:
    """The zone of a name (Europe/Berlin), a city, a country of one zone, an abbreviation or an offset (UTC+2)."""
    import zoneinfo

    wanted = re.sub(r"[\s_]+", "_", place[:_LONGEST].strip().casefold())
    if wanted in ("utc", "gmt", "z"):
        return UTC
    if offset := _OFFSET.fullmatch(wanted.replace("_", "")):
        sign, hours, minutes = offset.groups()
        shift = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-shift if sign == "-" else shift) if shift < timedelta(hours=24) else None
    key = _zones().get(wanted) or _zones().get(wanted.partition(",")[0])
    return zoneinfo.ZoneInfo(key) if key else None


@cache
def _zones() -> dict[str, str]:
    """Zones by all the names that they go by, in small letters."""
    import zoneinfo

    keys = sorted(zoneinfo.available_timezones())
    zones = {key.rpartition("/")[2].casefold(): key for key in keys if "/" in key and not key.startswith(("Etc/", "US/", "posix", "right"))}
    zones |= {name: key for key, names in _ELSEWHERE.items() for name in names.split() if key in keys}
    return zones | {key.casefold(): key for key in keys if key.casefold() not in zones}
