"""`minixfs find`: search for files in an image. Expressions, messages and exit codes are those of GNU find."""

from __future__ import annotations

import os

import click

from minixfs.cli.find.expression import parse
from minixfs.cli.find.search import File, Finished, Predicate, Search
from minixfs.cli.images import Target
from minixfs.cli.job import Verb, job
from minixfs.cli.quoting import quoted
from minixfs.cli.walk import walk
from minixfs.image.image import Image

REMOVES = "-delete"


@click.command(
    cls=Verb, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, add_help_option=False
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="IMAGE [PATH...] | IMAGE:/PATH... [EXPRESSION]")
def find(words: tuple[str, ...]) -> int:
    """Search for files in an image.

    \b
    Tests:    -name -iname -path -ipath -regex -iregex -lname -type -size -empty
              -mtime -mmin -atime -amin -ctime -cmin -newer -newerXY -perm
              -uid -gid -links -inum -samefile
    Actions:  -print -print0 -printf -ls -delete -prune -quit
    Options:  -maxdepth -mindepth -depth -daystart -regextype
    Operators: ( ) ! -not -a -o ,

    Paths are shown as they are in the image.

    \b
    minixfs find disk.img /usr -name '*.c' -size +100k
    minixfs find disk.img -type f -perm -4000 -ls
    """
    if words in (("--help",), ("-h",), ("-help",)):
        click.echo(click.get_current_context().get_help())
        return 0
    at = next((at for at, word in enumerate(words) if word[:1] == "-" or word in ("(", ")", "!", ",")), len(words))
    arguments, expression = words[:at], words[at:]
    with job(write=REMOVES in expression) as work:
        targets = work.images.targets(arguments, b"/")
        search = Search(work, targets[0].image)
        predicate = parse(expression, search)
        several = len({target.image for target in targets}) > 1
        for image, target in work.opened(targets):
            start = os.fsencode(target.image) + b":" + target.shown if several else target.shown
            try:
                _search(search, image, target, start, predicate)
            except Finished:
                break
        return work.status


def _search(search: Search, image: Image, target: Target, start: bytes, predicate: Predicate) -> None:
    for visit in walk(image, target.path):
        search.work.check()
        file = None if visit.found is None else File(image, target, visit, start, visit.found)
        if visit.error is not None:
            search.work.complain(f"{quoted(visit.under(target.name))}: {visit.error.strerror}")
        if file is None or (visit.error is not None and not visit.leaving):
            continue
        if not visit.leaving and visit.depth >= search.most_depth:
            visit.prune = True
        late = visit.leaving or visit.prune or not visit.is_directory
        if (late if search.depth_first else not visit.leaving) and visit.depth >= search.least_depth:
            try:
                predicate(file)
            except BrokenPipeError:
                raise
            except OSError as error:
                search.complain(file, "", error)
