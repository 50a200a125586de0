"""What the endpoint must know of a statement before the engine sees it: its kind, its formats, where its data begins.

Pure functions over bytes. Nothing here judges whether SQL is valid: a statement that is not understood is passed on as
it is, and the engine's own error goes back to the client.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from tradewire.operations.clickhouse_server.errors import ClickHouseError

_TOKEN: Final = re.compile(
    rb"""
    (?P<space>
        (?:[\s\x00]|\xc2[\x85\xa0]|\xe2\x80[\x80-\x8b\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80|\xef\xbb\xbf)+
      | (?:--|//|\#[\ !])[^\n]*(?:\n|$) | /\*.*?\*/)
  | (?P<string>'(?:[^'\\]|\\.|'')*')
  | (?P<quoted>`(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*")
  | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
  | (?P<number>[0-9][0-9A-Za-z_.]*)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token: its group in the grammar above, its bytes, where it lies, how many brackets are open around it."""

    kind: str
    text: bytes
    start: int
    end: int
    depth: int

    def is_word(self, *words: bytes) -> bool:
        return self.kind == "word" and self.text.upper() in words


def tokens(sql: bytes, start: int = 0) -> Iterator[Token]:
    """Tokens without whitespace and comments. An unclosed quote comes out as single bytes, as the engine will say."""
    depth = 0
    for found in _TOKEN.finditer(sql, start):
        kind = found.lastgroup or "other"
        if kind == "tag":
            kind = "heredoc"
        if kind == "space":
            continue
        if kind == "close":
            depth = max(0, depth - 1)
        yield Token(kind, found.group(), found.start(), found.end(), depth)
        if kind == "open":
            depth += 1


class Kind(Enum):
    """How a statement is run: rows are streamed out, data is streamed in, or it is one call with a small answer."""

    SELECT = "select"
    INSERT = "insert"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Statement:
    """A classified statement.

    ``head`` of an INSERT is the statement up to its SETTINGS or FORMAT, ``tail`` the SETTINGS, ``data_at`` where the
    data begin in the bytes that were classified. ``head`` of a SELECT is everything before FORMAT, ``tail`` what
    follows the format name. ``answers`` says that the statement returns rows, perhaps none. ``input`` is
    where ``input(`` lies in the head of an insert that selects from its data.
    """

    kind: Kind
    head: bytes
    format: str | None = None
    tail: bytes = b""
    data_at: int = 0
    answers: bool = False
    verb: str = ""
    input: tuple[int, int] | None = None


_ANSWERING: Final = (b"SHOW", b"DESC", b"DESCRIBE", b"EXPLAIN", b"EXISTS", b"CHECK", b"KILL", b"BACKUP", b"RESTORE")
_ROWS: Final = (b"SELECT", b"WITH", b"FROM", b"VALUES")
_SPACE_THEN_NEWLINE: Final = re.compile(rb"[ \t\f]*\r?\n?")


def classify(sql: bytes, *, complete: bool = True) -> Statement:
    """The statement in ``sql``; with ``complete=False`` only its beginning is known (an insert whose body still flows).

    Raises ClickHouseError 62 for several statements, 358 for INTO OUTFILE and 78 for FROM INFILE, as a server does.
    """
    stream = tokens(sql)
    first = next(stream, None)
    if first is None:
        if complete:
            raise ClickHouseError(62, "Syntax error: failed at position 1 (end of query). Empty query.")
        return Statement(Kind.COMMAND, sql)
    if first.is_word(b"INSERT"):
        return _classify_insert(sql, first, complete=complete)
    everything = [first]
    for token in stream:
        if everything[-1].is_word(b"INSERT") and token.depth == 0 and token.is_word(b"INTO") and first.is_word(b"WITH"):
            return _classify_insert(sql, everything[-1], complete=complete)
        everything.append(token)
    _refuse_python(everything)
    end = _statement_end(sql, everything)
    while everything and everything[-1].start >= end:
        everything.pop()
    verb = first.text.upper().decode("ascii", "replace") if first.kind == "word" else first.text.decode("latin-1")
    found = _trailing_format(everything)
    name = found.name if found is not None else None
    if first.is_word(*_ROWS) or first.text == b"(":
        _refuse_outfile(everything)
        if found is None:
            return Statement(Kind.SELECT, sql[:end], answers=True, verb=verb)
        return Statement(Kind.SELECT, sql[: found.start], name, sql[found.end : end], answers=True, verb=verb)
    _refuse_outfile(everything)
    return Statement(Kind.COMMAND, sql[:end], name, answers=first.is_word(*_ANSWERING), verb=verb)


def _statement_end(sql: bytes, everything: list[Token]) -> int:
    """Where the one statement ends: before its closing semicolons. Two statements are refused."""
    for index, token in enumerate(everything):
        if token.text == b";" and token.depth == 0:
            rest = [t for t in everything[index:] if t.text != b";"]
            if rest:
                raise ClickHouseError(
                    62,
                    f"Syntax error (Multi-statements are not allowed): failed at position {token.start + 1} "
                    f"(end of query): {sql[token.start : token.start + 60].decode('utf-8', 'replace')}.",
                )
            return token.start
    return len(sql)


class _Format(NamedTuple):
    name: str
    start: int
    end: int


# Words after which an operand must come. They are names themselves where an operand must come already (ORDER BY table).
_BEFORE_OPERAND: Final = frozenset(
    b"FROM JOIN AS BY INTO TABLE WHERE PREWHERE HAVING QUALIFY ON USING IN LIKE ILIKE BETWEEN AND OR DIV MOD WHEN THEN"
    b" ELSE WITH LIMIT OFFSET".split()
)
_NEVER_OPERANDS: Final = frozenset((b"SELECT", b"DISTINCT", b"NOT"))


def _trailing_format(everything: list[Token]) -> _Format | None:
    """The FORMAT clause that ends a statement, settings after it allowed. A FORMAT where an operand must come is a
    column or table of that name.
    """
    found: _Format | None = None
    wanted = False
    for index, token in enumerate(everything[:-1]):
        name = everything[index + 1]
        if (
            not wanted
            and token.depth == 0
            and token.is_word(b"FORMAT")
            and name.kind in ("word", "quoted")
            and index > 0
            and (index + 2 == len(everything) or everything[index + 2].is_word(b"SETTINGS"))
        ):
            found = _Format(name.text.strip(b'`"').decode("ascii", "replace"), token.start, name.end)
        wanted = _wants_operand(token, wanted)
    return found


def _wants_operand(token: Token, wanted: bool) -> bool:
    """Whether an operand must follow a token, ``wanted`` saying the same of the token before it."""
    if token.kind == "word":
        word = token.text.upper()
        return word in _NEVER_OPERANDS or (word in _BEFORE_OPERAND and not wanted)
    if token.text == b"*":
        return not wanted
    return token.kind in ("open", "other")


def _refuse_python(everything: list[Token]) -> None:
    """The embedded engine's table function python() would read this process's own objects."""
    for name, bracket in itertools.pairwise(everything):
        if name.is_word(b"PYTHON") and bracket.text == b"(":
            raise ClickHouseError(46, "Unknown table function Python", name="UNKNOWN_FUNCTION")


def _refuse_outfile(everything: list[Token]) -> None:
    for token, following in itertools.pairwise(everything):
        if token.depth == 0 and token.is_word(b"INTO") and following.is_word(b"OUTFILE"):
            raise ClickHouseError(358, "INTO OUTFILE is not allowed")


def _classify_insert(sql: bytes, first: Token, *, complete: bool) -> Statement:
    """INSERT [INTO] [TABLE] [FUNCTION] name [(columns)] [SETTINGS …] FORMAT name | VALUES | SELECT …"""
    stream = tokens(sql, first.end)
    named = False
    settings: Token | None = None
    previous = first
    for token in stream:
        if not named:
            if token.kind in ("word", "quoted", "string", "open") and not token.is_word(b"INTO", b"TABLE", b"FUNCTION"):
                named = True
            previous = token
            continue
        if previous.text == b".":
            previous = token
            continue
        if token.depth == 0 and token.is_word(b"SETTINGS"):
            settings = token
        if token.depth == 0 and token.is_word(b"FORMAT"):
            return _insert_with_format(sql, settings, token, stream)
        if token.depth == 0 and token.is_word(b"VALUES"):
            head, tail = _split_settings(sql, settings, token)
            return Statement(Kind.INSERT, head, "Values", tail, data_at=token.end, verb="INSERT")
        if token.depth == 0 and token.is_word(b"FROM"):
            following = next(stream, None)
            if following is not None and following.is_word(b"INFILE"):
                raise ClickHouseError(78, "Query has infile and was sent directly to the server; send the data instead")
            break
        if token.is_word(b"SELECT", b"WITH", b"WATCH") and (token.depth == 0 or previous.text == b"("):
            with_input = _insert_from_input(sql, stream)
            if with_input is not None:
                return with_input
            break
        previous = token
    if not complete:
        # A data insert has its FORMAT or VALUES near its beginning: what has neither is an INSERT SELECT so far.
        return Statement(Kind.COMMAND, sql, verb="INSERT")
    everything = list(tokens(sql))
    _refuse_python(everything)
    end = _statement_end(sql, everything)
    return Statement(Kind.COMMAND, sql[:end], verb="INSERT")


def _insert_from_input(sql: bytes, stream: Iterator[Token]) -> Statement | None:
    """``INSERT INTO t SELECT … FROM input('structure') … FORMAT name`` and data, or None for any other select."""
    input: tuple[int, int] | None = None
    previous: Token | None = None
    for token in stream:
        if previous is not None and previous.is_word(b"INPUT") and token.text == b"(":
            input = previous.start, token.end
        if input is not None and token.depth == 0 and token.is_word(b"FORMAT"):
            return replace(_insert_with_format(sql, None, token, stream), input=input)
        previous = token
    return None


def _split_settings(sql: bytes, settings: Token | None, end: Token) -> tuple[bytes, bytes]:
    if settings is None:
        return sql[: end.start], b""
    return sql[: settings.start], sql[settings.start : end.start]


def _insert_with_format(sql: bytes, settings: Token | None, format_token: Token, stream: Iterator[Token]) -> Statement:
    name = next(stream, None)
    if name is None or name.kind not in ("word", "quoted"):
        return Statement(Kind.COMMAND, sql, verb="INSERT")
    head, tail = _split_settings(sql, settings, format_token)
    format = name.text.strip(b'`"').decode("ascii", "replace")
    data_at = name.end
    after = next(stream, None)
    if after is not None and after.is_word(b"SETTINGS"):
        data_at = _settings_end(stream, after.end)
        tail += sql[after.start : data_at]
    spaces = _SPACE_THEN_NEWLINE.match(sql, data_at)
    if spaces is not None:
        data_at = spaces.end()
    return Statement(Kind.INSERT, head, format, tail, data_at=data_at, verb="INSERT")


def _settings_end(stream: Iterator[Token], end: int) -> int:
    """The end of ``name = value [, name = value]…`` after FORMAT; what follows is data and must not be read as SQL."""
    while True:
        name = next(stream, None)
        equals = next(stream, None)
        value = next(stream, None)
        if name is None or equals is None or value is None or name.kind != "word" or equals.text != b"=":
            return end
        end = value.end
        if value.text in (b"-", b"+"):
            number = next(stream, None)
            end = number.end if number is not None else end
        following = next(stream, None)
        if following is None or following.text != b",":
            return end


def quote_string(value: str) -> str:
    """A string literal of ClickHouse: quotes and backslashes escaped, control characters as they are."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_identifier(name: str) -> str:
    """An identifier in backticks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
