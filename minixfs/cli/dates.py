"""Points in time as ``touch -d`` and ``find -newermt`` take them.

    parse(b"2 days ago", now)       nanoseconds since 1970; ValueError for what is no date
    stamp("202401311200.30", now)   what ``touch -t`` takes

The words and forms are those of GNU's date input that people use: ISO 8601, RFC 5322, ``31 Jan 2024``, ``1/31/2024``,
``12:30:15.5``, ``8pm``, zones (``Z``, ``UTC``, ``+02:00``), ``@SECONDS``, ``now``, ``yesterday``, ``next month``,
``last friday``, ``3 weeks ago``. Times without a zone are local. Times here are never naive: a broken-down time that
the local clock skips is no date.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass, field

NS = 10**9
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {
    "sec": ("second", 1), "second": ("second", 1), "min": ("second", 60), "minute": ("second", 60),
    "hour": ("second", 3600), "day": ("day", 1), "week": ("day", 7), "fortnight": ("day", 14),
    "month": ("month", 1), "year": ("month", 12),
}  # fmt: skip
_WORDS = {"now": 0, "today": 0, "yesterday": -1, "tomorrow": 1}
_ORDINALS = {
    "last": -1, "this": 0, "next": 1, "first": 1, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12,
}  # fmt: skip
_ZONES = {"z": 0, "utc": 0, "gmt": 0, "ut": 0}

_MONTH = (
    "(?P<month>" + "|".join(f"{full.lower()}|{full[:3].lower()}" for full in calendar.month_name[1:]) + r"|sept)\.?"
)
_ITEMS = [
    ("date", r"(?P<year>\d{4})-(?P<number>\d{1,2})-(?P<day>\d{1,2})(?=$|[\st])"),
    ("date", r"(?P<number>\d{1,2})/(?P<day>\d{1,2})(?:/(?P<year>\d{4}|\d{2}))?(?![\d/])"),
    ("date", r"(?P<year>\d{4})/(?P<number>\d{1,2})/(?P<day>\d{1,2})(?![\d/])"),
    ("date", rf"(?P<day>\d{{1,2}})[ -]?{_MONTH}(?![a-z])(?:[ ,-]*(?P<year>\d{{4}})(?![\d:]))?"),
    ("date", rf"{_MONTH}[ ]*(?P<day>\d{{1,2}})(?![\d:])(?:[ ]*[ ,][ ]*(?P<year>\d{{4}})(?![\d:]))?"),
    ("clock", r"t?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d+))?)?"
              r"(?:\s*(?P<half>[ap])\.?m\.?(?![a-z]))?(?:\s*(?P<zone>[-+]\d{2}:?\d{2}|[-+]\d{1,2})(?![\d:]))?"),
    ("clock", r"(?P<hour>\d{1,2})\s*(?P<half>[ap])\.?m\.?(?![a-z])"),
    ("number", r"(?P<number>\d{4})(?![\d:/-])"),
    ("compact", r"(?P<year>\d{4})(?P<number>\d{2})(?P<day>\d{2})(?!\d)"),
    ("relative", r"(?P<count>[-+]?\s*\d+|" + "|".join(_ORDINALS) + r")?\s*"
                 r"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|days?|weeks?|fortnights?|months?|years?)(?![a-z])"
                 r"(?P<ago>\s+ago(?![a-z]))?"),
    ("weekday", r"(?P<order>(?:" + "|".join(_ORDINALS) + r")\s+)?"
                r"(?P<name>monday|mon|tuesday|tues|tue|wednesday|wednes|wed|thursday|thurs|thur|thu|friday|fri|"
                r"saturday|sat|sunday|sun)\.?(?![a-z]),?"),
    ("word", r"(?P<word>now|today|yesterday|tomorrow)(?![a-z])"),
    ("zone", r"(?P<name>utc|gmt|ut|z)(?![a-z])"),
]  # fmt: skip
_ITEM = [(kind, re.compile(pattern)) for kind, pattern in _ITEMS]


@dataclass
class _Wanted:
    """What the items said. Each of `date`, `clock`, `zone` and `weekday` may be said once."""

    date: tuple[int | None, int, int] | None = None
    clock: tuple[int, int, int, int] | None = None
    zone: int | None = None
    weekday: tuple[int, int] | None = None
    offsets: dict[str, int] = field(default_factory=lambda: {"month": 0, "day": 0, "second": 0})


def parse(text: str, now: int) -> int:
    """`now` is in nanoseconds since 1970. Raises ValueError."""
    match = re.fullmatch(r"\s*@\s*(-?\d+)(?:[.,](\d+))?\s*", text)
    if match:
        part = int((match[2] or "").ljust(9, "0")[:9])
        return int(match[1]) * NS + (-part if match[1].startswith("-") else part)
    wanted = _Wanted()
    rest = " ".join(re.sub(r"\([^()]*\)", " ", text).lower().split())
    while rest:
        for kind, pattern in _ITEM:
            found = pattern.match(rest)
            if found:
                _TAKE[kind](wanted, found)
                rest = rest[found.end() :].lstrip(" ,")
                break
        else:
            raise ValueError(f"no date: {text}")
    return _resolve(wanted, now)


def _once(wanted: _Wanted, name: str, value: object) -> None:
    if getattr(wanted, name) is not None:
        raise ValueError(f"more than one {name}")
    setattr(wanted, name, value)


def _date(wanted: _Wanted, found: re.Match[str]) -> None:
    groups = found.groupdict()
    month = int(groups["number"]) if groups.get("number") else _MONTHS.index(groups["month"][:3]) + 1
    text = groups.get("year")
    year = int(text) if text else None
    if year is not None and text is not None and len(text) == 2:
        year += 2000 if year < 69 else 1900
    _once(wanted, "date", (year, month, int(groups["day"])))


def _clock(wanted: _Wanted, found: re.Match[str]) -> None:
    groups = found.groupdict()
    hour, minute, second = (int(groups.get(name) or 0) for name in ("hour", "minute", "second"))
    if groups.get("half"):
        if not 1 <= hour <= 12:
            raise ValueError("no hour")
        hour = hour % 12 + (12 if groups["half"] == "p" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no time of day")
    _once(wanted, "clock", (hour, minute, second, int((groups.get("part") or "").ljust(9, "0")[:9])))
    zone = groups.get("zone")
    if zone:
        digits = zone[1:].replace(":", "")
        digits = digits if len(digits) == 4 else digits.rjust(2, "0") + "00"
        if int(digits[:2]) > 24 or int(digits[2:]) > 59:
            raise ValueError("no zone")
        _once(wanted, "zone", (int(digits[:2]) * 3600 + int(digits[2:]) * 60) * (-1 if zone[0] == "-" else 1))


def _relative(wanted: _Wanted, found: re.Match[str]) -> None:
    number = (found["count"] or "1").replace(" ", "")
    amount = _ORDINALS[number] if number in _ORDINALS else int(number)
    unit, factor = _UNITS[found["unit"].removesuffix("s")]
    wanted.offsets[unit] += amount * factor * (-1 if found["ago"] else 1)


def _weekday(wanted: _Wanted, found: re.Match[str]) -> None:
    _once(wanted, "weekday", (_DAYS.index(found["name"][:3]), _ORDINALS[(found["order"] or "this").strip()]))


def _word(wanted: _Wanted, found: re.Match[str]) -> None:
    wanted.offsets["day"] += _WORDS[found["word"]]


def _lone_number(wanted: _Wanted, found: re.Match[str]) -> None:
    """The year of a date that was said without one, if the time of day is known; else that is it."""
    if wanted.date is not None and wanted.date[0] is None and wanted.clock is not None:
        wanted.date = int(found["number"]), *wanted.date[1:]
        return
    hour, minute = divmod(int(found["number"]), 100)
    if hour > 23 or minute > 59:
        raise ValueError("no time of day")
    _once(wanted, "clock", (hour, minute, 0, 0))


def _zone(wanted: _Wanted, found: re.Match[str]) -> None:
    _once(wanted, "zone", _ZONES[found["name"]])


_TAKE = {
    "date": _date, "compact": _date, "number": _lone_number, "clock": _clock, "relative": _relative,
    "weekday": _weekday, "word": _word, "zone": _zone,
}  # fmt: skip


def _resolve(wanted: _Wanted, now: int) -> int:
    """The moment: the day and time of day that were named, then what is to be added."""
    seconds, part = divmod(now, NS)
    start = time.localtime(seconds) if wanted.zone is None else time.gmtime(seconds + wanted.zone)
    year, month, day = start.tm_year, start.tm_mon, start.tm_mday
    if wanted.date is not None:
        year, month, day = wanted.date[0] or year, wanted.date[1], wanted.date[2]
        if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
            raise ValueError("no such day")
    if wanted.clock is not None:
        hour, minute, second, part = wanted.clock
    elif wanted.date is not None or wanted.weekday is not None:
        hour, minute, second, part = 0, 0, 0, 0
    else:
        hour, minute, second = start.tm_hour, start.tm_min, start.tm_sec
    if wanted.weekday is not None and wanted.date is None:
        name, order = wanted.weekday
        today = calendar.weekday(year, month, day)
        day += (name - today) % 7 + 7 * (order - (order > 0 and name != today))
    months = year * 12 + month - 1 + wanted.offsets["month"]
    fields = months // 12, months % 12 + 1, day + wanted.offsets["day"], hour, minute, second
    if wanted.zone is not None:
        moment = _timegm(*fields)
        return (moment - wanted.zone + wanted.offsets["second"]) * NS + part
    try:
        moment = int(time.mktime((*fields, 0, 0, -1)))
    except OverflowError:
        raise ValueError("out of range") from None
    return (moment + wanted.offsets["second"]) * NS + part


def _timegm(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """As timegm, for days before and after the month."""
    return calendar.timegm((year, month, 1, hour, minute, second, 0, 0, 0)) + (day - 1) * 86400


def stamp(text: str, now: int) -> int:
    """``[[CC]YY]MMDDhhmm[.ss]`` in nanoseconds since 1970. Raises ValueError."""
    match = re.fullmatch(r"(\d{2}|\d{4})?(\d{2})(\d{2})(\d{2})(\d{2})(?:\.(\d{2}))?", text)
    if match is None:
        raise ValueError(f"no time: {text}")
    year = time.localtime(now // NS).tm_year
    if match[1]:
        year = int(match[1])
        if len(match[1]) == 2:
            year += 2000 if year < 69 else 1900
    month, day, hour, minute, second = (int(part or 0) for part in match.groups()[1:])
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise ValueError(f"no such day: {text}")
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError(f"no time of day: {text}")
    return int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1))) * NS
