"""The actions of find: like tests, but they do something; most of them are always true."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

from minixfs.cli.find import printf
from minixfs.cli.find.search import File, Finished, Predicate, Search
from minixfs.cli.kinds import is_device

NS = 10**9
_HALF_YEAR = 365 * 86400 // 2


def _print(search: Search) -> Predicate:
    def act(file: File) -> bool:
        search.work.put(file.shown)
        return True

    return act


def _print0(search: Search) -> Predicate:
    def act(file: File) -> bool:
        search.work.out.write(file.shown + b"\0")
        return True

    return act


def _printf(search: Search, text: str) -> Predicate:
    write = printf.parse(text)

    def act(file: File) -> bool:
        search.work.out.write(write(file))
        return True

    return act


def _ls(search: Search) -> Predicate:
    def act(file: File) -> bool:
        found = file.found
        size = f"{os.major(found.rdev):3}, {os.minor(found.rdev):3}" if is_device(found.mode) else f"{found.size:8}"
        moment = time.localtime(found.mtime // NS)
        recent = abs(search.now - found.mtime) < _HALF_YEAR * NS
        when = time.strftime("%b %e %H:%M" if recent else "%b %e  %Y", moment)
        start = f"{found.ino:9} {-(-found.blocks // 2):6} {stat.filemode(found.mode)} {found.nlink:3}"
        search.work.out.write(f"{start} {found.uid:<8} {found.gid:<8} {size} {when} ".encode())
        link = file.link_text()
        search.work.put(file.shown + (b" -> " + link if link else b""))
        return True

    return act


def _delete(search: Search) -> Predicate:
    """Children first, or directories would never be empty."""
    search.depth_first = search.deletes = True

    def act(file: File) -> bool:
        try:
            remove = file.image.rmdir if stat.S_ISDIR(file.found.mode) else file.image.remove
            remove(file.visit.full)
        except OSError as error:
            search.complain(file, "cannot delete ", error)
            return False
        return True

    return act


def _prune(search: Search) -> Predicate:
    def act(file: File) -> bool:
        file.visit.prune = True
        return True

    return act


def _quit(search: Search) -> Predicate:
    def act(file: File) -> bool:
        raise Finished

    return act


PLAIN: dict[str, Callable[[Search], Predicate]] = {
    "-print": _print,
    "-print0": _print0,
    "-ls": _ls,
    "-delete": _delete,
    "-prune": _prune,
    "-quit": _quit,
}
ACTIONS: dict[str, Callable[[Search, str], Predicate]] = {"-printf": _printf}
SILENT = ("-prune", "-quit")
"""Actions beside which what was found is still printed."""
