"""The door's first layer: reads a statement's text, and lets through one SELECT over what is public and harmless.

What is not on a list is refused: kinds of expressions, functions, types, tables. The database is not asked.
"""

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dandi_pipeline.errors import ConfigurationError, QueryRefused

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

LONGEST_STATEMENT = 20_000
"""Characters; the longest of the twenty questions has 700."""

HOW_TO_INSTALL = "pip install 'dandi_pipeline[query]'"

SPLIT = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/)""", re.DOTALL)
"""Finds texts, quoted names and comments: where `:name` is no parameter."""

PARAMETER = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")


def _listed(names: str) -> frozenset[str]:
    return frozenset(names.split())


_STRUCTURE = _listed(
    "Select Union Intersect Except Subquery With CTE From Table TableAlias Identifier Column Star Alias Join Where"
    " Group Having Order Ordered Limit Offset Fetch Distinct Tuple Paren Values Literal Null Boolean Placeholder"
    " Add Sub Mul Div IntDiv Mod Neg DPipe And Or Not Is EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Like ILike"
    " Glob Between In Exists Any All Escape Collate Case If Cast DataType DataTypeParam Window WindowSpec Filter"
    " Interval Var AtTimeZone WithinGroup BitwiseAnd BitwiseOr SimilarTo RegexpLike RegexpILike JSONPath JSONPathRoot"
    " JSONPathKey JSONPathSubscript JSONPathWildcard Rollup Cube GroupingSets Array Xor"
)
_FUNCTIONS = _listed(
    # Aggregates and windows
    "Count CountIf Sum Avg Min Max GroupConcat ArrayAgg Median PercentileCont PercentileDisc Stddev StddevSamp"
    " StddevPop Variance VariancePop LogicalAnd LogicalOr RowNumber Rank DenseRank PercentRank CumeDist Ntile Lag Lead"
    " FirstValue LastValue NthValue Mode"
    # Values
    " Coalesce Nullif Greatest Least Abs Round Ceil Floor Sign Sqrt Pow Exp Ln Log Extract"
    # Text
    " Lower Upper Length Substring Trim StrPosition Concat ConcatWs Left Right SplitPart Unicode Ascii Initcap"
    # Moments
    " CurrentDate CurrentTimestamp CurrentTime TimestampTrunc DateTrunc Date Time Datetime Timestamp ToChar TimeToStr"
    " StrToTime TsOrDsToDate TsOrDsToTimestamp TsOrDsAdd DateAdd DateDiff DateSub"
    " TimeStrToTime UnixToTime DatetimeTrunc"
    # JSON
    " JSONExtract JSONExtractScalar JSONBExtract JSONBExtractScalar JSONType JSONExtractArray"
    " JSONBContains JSONBContainsAllTopKeys"
)
_NAMED_FUNCTIONS = _listed(
    "date time datetime julianday unixepoch strftime total instr substr json_extract json_type json_array_length"
    " json_valid json_each json_tree json_array_elements json_array_elements_text json_object_keys json_typeof"
    " jsonb_array_elements jsonb_array_elements_text jsonb_object_keys jsonb_typeof jsonb_array_length"
    " date_part make_date to_date starts_with bool_and bool_or every typeof nullif ifnull length char_length btrim"
    " ltrim rtrim trunc width_bucket row_number now isfinite age cume_dist percent_rank ntile nth_value rank"
    " dense_rank first_value last_value mode stddev variance array_length cardinality"
)
_TABLE_FUNCTIONS = _listed(
    "json_each json_tree json_array_elements json_array_elements_text json_object_keys jsonb_array_elements"
    " jsonb_array_elements_text jsonb_object_keys"
)
_TYPES = _listed(
    "TEXT VARCHAR CHAR NCHAR NVARCHAR INT BIGINT SMALLINT TINYINT FLOAT DOUBLE DECIMAL BOOLEAN DATE TIME TIMESTAMP"
    " TIMESTAMPTZ TIMESTAMPNTZ INTERVAL JSON JSONB UUID BLOB VARBINARY ARRAY"
)
MOST_GROWTH = 5_000
"""How often a column may stand in one expression once subqueries are put into each other, as planners do.

PostgreSQL does so before it looks at any limit: `s || s` over itself forty times takes all the memory there is.
"""

_GROWING = _listed("DPipe Concat ConcatWs GroupConcat ArrayAgg Array")


def checked(statement: str, dialect: str, public: Collection[str]) -> str:
    """Return the statement without its comments, if it is one SELECT over `public` tables and views.

    `dialect` is "sqlite" or "postgresql". Raises `QueryRefused`, which says in a sentence why it is not.
    """
    if len(statement) > LONGEST_STATEMENT:
        raise QueryRefused(f"the statement has {len(statement):,} characters; at most {LONGEST_STATEMENT:,} are read")
    if bad := re.search(r"[^\S \n\r\t]|[\0-\x08\x0e-\x1f]", statement):
        raise QueryRefused(f"the statement has the character {bad[0]!r}; use blanks and line breaks")
    tree, text = _parsed(statement, {"postgresql": "postgres"}.get(dialect, dialect))
    public = {name.lower() for name in public}
    for node in tree.walk():
        _check(node, public)
    if _growth(tree, {}) > MOST_GROWTH:
        raise QueryRefused("subqueries repeat each other's columns too often; name each of them fewer times")
    return text


def relations(statement: str, dialect: str) -> set[str]:
    """Return the names of the tables and views that a statement reads, in small letters."""
    from sqlglot import exp

    tree, _ = _parsed(statement, {"postgresql": "postgres"}.get(dialect, dialect))
    return {table.name.lower() for table in tree.find_all(exp.Table) if not _is_of_the_statement(table)}


def _parsed(statement: str, dialect: str) -> "tuple[exp.Expr, str]":
    """Return the tree, and the text of its tokens: databases disagree on where a comment ends."""
    try:
        import sqlglot
        from sqlglot import exp
        from sqlglot.errors import SqlglotError
    except ImportError:
        raise ConfigurationError(f"asking in SQL needs sqlglot; install it: {HOW_TO_INSTALL}") from None
    # It warns of what it reads as a mere command, which is refused and told in other words.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        tokens = sqlglot.tokenize(statement, read=dialect)
        text = _without_comments(statement, tokens)
        trees = [tree for tree in sqlglot.parse(text, read=dialect) if tree is not None]
    except (SqlglotError, RecursionError) as error:
        raise QueryRefused(f"the statement cannot be read: {_brief(error)}") from None
    if len(trees) != 1:
        raise QueryRefused(f"{len(trees)} statements were given; exactly one SELECT is answered")
    (tree,) = trees
    if not isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
        raise QueryRefused(f"{_words(tree)} is not answered; only SELECT is")
    return tree, text.rstrip("; ")


def _without_comments(statement: str, tokens: "Sequence[Token]") -> str:
    """Return the tokens with a blank for whatever is between two of them."""
    pieces: list[str] = []
    end = 0
    for token in tokens:
        pieces += [" "] if token.start > end and pieces else []
        pieces.append(statement[token.start : token.end + 1])
        end = token.end + 1
    return "".join(pieces)


def _brief(error: Exception) -> str:
    """Return the first line of a parser's message, without its marks for a terminal."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return (lines[0] if lines else "it is nested too deeply").rstrip(". ")


def _check(node: "exp.Expr", public: Collection[str]) -> None:
    from sqlglot import exp

    kind = type(node).__name__
    if isinstance(node, exp.Table):
        _check_table(node, public)
    elif isinstance(node, exp.Anonymous):
        _check_name(str(node.this), _NAMED_FUNCTIONS)
    elif isinstance(node, exp.DataType):
        _check_type(node)
    elif isinstance(node, exp.Column) and (node.args.get("db") or node.args.get("catalog")):
        raise QueryRefused(f"{node.sql()}: name a column by its table alone, without a schema")
    elif isinstance(node, exp.With) and node.args.get("recursive"):
        _check_recursion(node)
    elif kind not in _STRUCTURE and kind not in _FUNCTIONS:
        raise QueryRefused(f"{_words(node)} is not allowed here")


def _check_name(name: str, allowed: Collection[str]) -> None:
    if name.lower() not in allowed:
        raise QueryRefused(f"the function {name.lower()!r} is not allowed here")


def _check_type(node: "exp.DataType") -> None:
    kind = getattr(node.this, "name", str(node.this))
    if kind not in _TYPES:
        raise QueryRefused(f"the type {node.sql()!r} is not allowed here")


def _check_table(table: "exp.Table", public: Collection[str]) -> None:
    from sqlglot import exp

    if table.args.get("db") or table.args.get("catalog"):
        raise QueryRefused(f"{table.sql()}: name a table without its schema or database")
    if isinstance(table.this, exp.Func):
        name = table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name()
        _check_name(name, _TABLE_FUNCTIONS)
        return
    unusual = {name for name, value in table.args.items() if value} - {"this", "alias", "joins", "laterals"}
    if unusual or not isinstance(table.this, exp.Identifier):
        raise QueryRefused(f"{table.sql()}: a table is read by its name alone")
    if table.name.lower() not in public and not _is_of_the_statement(table):
        raise QueryRefused(
            f"there is no public table or view {table.name!r}; there are: {', '.join(sorted(public)) or 'none'}"
        )


def _is_of_the_statement(table: "exp.Table") -> bool:
    """Say whether a name means a WITH query of the statement itself, where it stands."""
    return any(cte.alias.lower() == table.name.lower() for cte in _in_scope(table))


def _in_scope(node: "exp.Expr") -> "Iterator[exp.CTE]":
    """Yield the WITH queries that can be read at `node`: those of every query around it, but in a WITH the earlier."""
    from sqlglot import exp

    below: Any = node
    inside: exp.CTE | None = None
    while below.parent is not None:
        around = below.parent
        if isinstance(below, exp.CTE):
            inside = below
        if isinstance(around, exp.With):
            for cte in around.expressions:
                if cte is inside and not around.args.get("recursive"):
                    break
                yield cte
                if cte is inside:
                    break
        else:
            found = around.args.get("with_") or around.args.get("with")
            if found is not None and found is not below:
                yield from found.expressions
        below = around


def _check_recursion(node: "exp.With") -> None:
    """Refuse what makes values longer at each turn; how many turns there are is bounded by time."""
    for inner in node.walk():
        if type(inner).__name__ in _GROWING:
            raise QueryRefused("a recursive query may not put texts or lists together")


def _growth(node: "exp.Expr", known: "dict[int, int]") -> int:
    """Return how often one column may stand in an expression of a query's answer, its subqueries put into it."""
    from sqlglot import exp

    if id(node) in known:
        return known[id(node)]
    known[id(node)] = 1  # A recursive query is put into nothing.
    selects = [node] if isinstance(node, exp.Select) else []
    named = [item.find_all(exp.Column) for select in selects for item in select.expressions]
    own = max((sum(1 for _ in columns) for columns in named), default=1)
    beneath = [_growth(query, known) for query in _queries_in(node)]
    known[id(node)] = max(1, own) * max(beneath, default=1)
    return known[id(node)]


def _queries_in(node: "exp.Expr") -> "Iterator[exp.Expr]":
    """Yield the queries that a query reads, be it by the name of a WITH query."""
    from sqlglot import exp

    for inner in node.walk(prune=lambda each: each is not node and isinstance(each, (exp.Select, exp.With))):
        if inner is not node and isinstance(inner, exp.Select):
            yield inner
        elif isinstance(inner, exp.Table):
            yield from (cte.this for cte in _in_scope(inner) if cte.alias.lower() == inner.name.lower())


def _words(node: "exp.Expr") -> str:
    """Return what a person calls a kind of expression, e.g. CREATE or GENERATE SERIES."""
    from sqlglot import exp

    if isinstance(node, exp.Command):
        return str(node.this).upper()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
