"""From the words of a find expression to one predicate.

    predicate = parse(["-name", "*.c", "-o", "-type", "d"], search)

By rank, highest first: parentheses; ``!`` and ``-not``; ``-a``, ``-and`` or nothing; ``-o`` and ``-or``; the comma.
Options such as -maxdepth set fields of the search and are true. Without an action that prints or removes, what the
expression is true for is printed. What makes no sense is a UsageError with findutils' wording.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from minixfs.cli.find import actions, tests
from minixfs.cli.find.patterns import SYNTAXES
from minixfs.cli.find.search import File, Predicate, Search
from minixfs.cli.job import usage
from minixfs.cli.quoting import quoted

_OR, _AND, _NOT = ("-o", "-or"), ("-a", "-and"), ("!", "-not")
_OPTIONS = ("-depth", "-d", "-daystart")
_NUMBER_OPTIONS = ("-maxdepth", "-mindepth")


def parse(words: Sequence[str], search: Search) -> Predicate:
    """Raises UsageError."""
    parser = _Parser(words, search)
    predicate = parser.list() if words else None
    if parser.word is not None:
        raise usage("invalid expression; you have too many ')'")
    if predicate is not None and search.acts:
        return predicate
    show = actions.PLAIN["-print"](search)
    return show if predicate is None else _both(predicate, show)


def _both(first: Predicate, second: Predicate) -> Predicate:
    return lambda file: first(file) and second(file)


def _either(first: Predicate, second: Predicate) -> Predicate:
    return lambda file: first(file) or second(file)


def _sequence(first: Predicate, second: Predicate) -> Predicate:
    def act(file: File) -> bool:
        first(file)
        return second(file)

    return act


def _not(operand: Predicate) -> Predicate:
    return lambda file: not operand(file)


class _Parser:
    """Recursive descent, one method a rank; `word` is the next one, None at the end."""

    def __init__(self, words: Sequence[str], search: Search) -> None:
        self._words = list(words)
        self._at = 0
        self._search = search

    @property
    def word(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def list(self) -> Predicate:
        left = self._or()
        while self.word == ",":
            self._operator(",")
            left = _sequence(left, self._or())
        return left

    def _or(self) -> Predicate:
        left = self._and()
        while self.word in _OR:
            self._operator(self.word or "")
            left = _either(left, self._and())
        return left

    def _and(self) -> Predicate:
        left = self._factor()
        while self.word is not None and self.word not in (*_OR, ",", ")"):
            if self.word in _AND:
                self._operator(self.word)
            left = _both(left, self._factor())
        return left

    def _factor(self) -> Predicate:
        word = self.word
        if word in _NOT:
            self._at += 1
            if self.word is None:
                raise usage(f"expected an expression after {quoted(word or '')}")
            return _not(self._factor())
        if word == "(":
            self._at += 1
            if self.word == ")":
                raise usage("invalid expression; empty parentheses are not allowed.")
            inside = self.list()
            if self.word != ")":
                raise usage("invalid expression; I was expecting to find a ')' somewhere but did not see one.")
            self._at += 1
            return inside
        return self._primary()

    def _operator(self, word: str) -> None:
        """Go past a binary operator, which needs something after it."""
        self._at += 1
        if self.word is None or self.word in (*_OR, *_AND, ",", ")"):
            raise usage(f"expected an expression after {quoted(word)}")

    def _primary(self) -> Predicate:
        word = self.word
        if word is None or word in (*_OR, *_AND, ",", ")"):
            name = quoted(word or "")
            raise usage(f"invalid expression; you have used a binary operator {name} with nothing before it.")
        self._at += 1
        if word in _OPTIONS:
            return self._option(word)
        if word in _NUMBER_OPTIONS or word == "-regextype":
            return self._option_with_argument(word, self._argument(word))
        if word in tests.PLAIN:
            return tests.PLAIN[word](self._search)
        if word in actions.PLAIN:
            self._search.acts = self._search.acts or word not in actions.SILENT
            return actions.PLAIN[word](self._search)
        if word in tests.TESTS or word in actions.ACTIONS:
            argument = self._argument(word)
            try:
                if word in tests.TESTS:
                    return tests.TESTS[word](self._search, argument)
                self._search.acts = True
                return actions.ACTIONS[word](self._search, argument)
            except ValueError as error:
                reason = f": {error}" if str(error) and word in ("-regex", "-iregex", "-user", "-group") else ""
                raise usage(f"invalid argument {quoted(argument)} to {quoted(word)}{reason}") from error
        if word.startswith("-"):
            raise usage(f"unknown predicate {quoted(word)}")
        raise usage(f"paths must precede expression: {quoted(word)}")

    def _option(self, word: str) -> Predicate:
        if word == "-daystart":
            self._search.day_start = True
        else:
            self._search.depth_first = True
        return tests.PLAIN["-true"](self._search)

    def _option_with_argument(self, word: str, argument: str) -> Predicate:
        if word == "-regextype":
            if argument not in SYNTAXES:
                raise usage(f"Unknown regular expression type {quoted(argument)}; known are {', '.join(SYNTAXES)}.")
            self._search.syntax = argument
        elif not re.fullmatch("[0-9]+", argument):
            raise usage(f"Expected a positive decimal integer argument to {word}, but got {quoted(argument)}")
        elif word == "-maxdepth":
            self._search.most_depth = int(argument)
        else:
            self._search.least_depth = int(argument)
        return tests.PLAIN["-true"](self._search)

    def _argument(self, word: str) -> str:
        argument = self.word
        if argument is None:
            raise usage(f"missing argument to {quoted(word)}")
        self._at += 1
        return argument
