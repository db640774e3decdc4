"""``sql/analysis`` keeps to the subset of SQL that means the same on every engine, the rest to PostgreSQL 12."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

FOLDER = Path(__file__).resolve().parent.parent / "sql" / "analysis"
ANALYSES = sorted(FOLDER.glob("*.sql"))
STATEMENTS = sorted(path for path in FOLDER.parent.glob("*/*.sql") if path.parent != FOLDER)
NEWER = {
    13: r"xid8|pg_current_(?:xact|snapshot)\w*|pg_(?:visible_in|snapshot_x)\w*|(?<!')pg_snapshot|trim_scale|tgparentid"
    r"|gen_random_uuid|WITH TIES|WITH \(FORCE\)",
    14: r"BEGIN ATOMIC|LANGUAGE sql\b[^;$]*\bRETURN|(?<!')inhdetachpending|string_to_table|date_bin|OR REPLACE TRIGGER",
    15: r"MERGE|NULLS NOT DISTINCT|security_invoker|regexp_(?:count|instr|like|substr)",
    16: r"any_value|pg_input_\w+|IS (?:NOT )?JSON|json_array(?:agg)?|json_object(?:agg)?",
    17: r"JSON_(?:TABLE|EXISTS|QUERY|VALUE|SCALAR|SERIALIZE)|merge_action",
    18: r"uuidv[47]|WITHOUT OVERLAPS|array_(?:sort|reverse)|casefold|RETURNING (?:WITH|OLD|NEW)|\) VIRTUAL",
}
"""What came with which version of PostgreSQL: the oldest that auditlab works with has none of it."""

FUNCTIONS = (
    exp.RowNumber,
    exp.Lag,
    exp.Lead,
    exp.Sum,
    exp.Max,
    exp.Min,
    exp.Count,
    exp.Case,
    exp.If,  # a WHEN of a CASE
    exp.Cast,
    exp.Coalesce,
    exp.And,
    exp.Or,
)
"""Functions that one text gives one answer with, on Polars, DuckDB, Spark and ClickHouse."""

FORBIDDEN = {
    exp.Div: "integer division differs",
    exp.Exists: "a correlated EXISTS is wrong on some engines",
    exp.Map: "MAP differs",
    exp.ArrayAgg: "ordered array_agg differs",
    exp.TryCast: "TRY_CAST hides what cannot be cast",
    exp.Placeholder: "parameters travel as the params table",
    exp.Parameter: "parameters travel as the params table",
}


def parse(text: str) -> list[exp.Expression]:
    return [statement for statement in sqlglot.parse(text, read="duckdb") if statement is not None]


def faults(text: str) -> list[str]:
    """What in a statement leaves the portable subset."""
    statements = parse(text)
    found = [] if len(statements) == 1 else [f"{len(statements)} statements, want 1"]
    for node in (node for statement in statements for node in statement.walk()):
        if isinstance(node, exp.Func) and not isinstance(node, FUNCTIONS):
            found.append(f"function {node.sql(dialect='duckdb')}")
        found += [f"{node.sql(dialect='duckdb')}: {why}" for kind, why in FORBIDDEN.items() if isinstance(node, kind)]
        if isinstance(node, exp.Cast) and node.to.is_type(exp.DataType.Type.DATE) and not in_a_zone(node.this):
            found.append(f"{node.sql(dialect='duckdb')}: a date needs AT TIME ZONE")
        if isinstance(node, exp.Join) and node.args.get("method"):
            found.append(f"{node.args['method']} JOIN")
        if isinstance(node, exp.Window) and needs_frame(node) and node.args.get("spec") is None:
            found.append(f"{node.sql(dialect='duckdb')}: a window over an order needs ROWS")
        if (
            isinstance(node, exp.Window)
            and node.args.get("spec") is not None
            and node.args["spec"].args["kind"] != "ROWS"
        ):
            found.append(f"{node.sql(dialect='duckdb')}: RANGE differs")
    return found


def in_a_zone(node: exp.Expression) -> bool:
    return isinstance(node, exp.AtTimeZone)


def needs_frame(window: exp.Window) -> bool:
    positional = isinstance(window.this, exp.RowNumber | exp.Lag | exp.Lead)
    return window.args.get("order") is not None and not positional


def test_there_are_analyses():
    assert ANALYSES


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda path: path.stem)
def test_an_analysis_keeps_to_the_portable_subset(analysis: Path):
    assert faults(analysis.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda path: path.stem)
def test_an_analysis_is_short_enough_to_read(analysis: Path):
    lines = [line for line in analysis.read_text(encoding="utf-8").splitlines() if line and not line.startswith("--")]
    assert len(lines) <= 40


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a.x FROM a ASOF JOIN b ON a.t >= b.t",
        "SELECT arg_max(x, t) AS x FROM a",
        "SELECT MAP {'a': 1} AS m",
        "SELECT array_agg(x ORDER BY t) AS xs FROM a",
        "SELECT x FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x)",
        "SELECT date_diff('day', s, t) AS d FROM a",
        "SELECT CAST(t AS DATE) AS d FROM a",
        "SELECT strftime(t, '%Y') AS y FROM a",
        "SELECT x / 2 AS half FROM a",
        "SELECT sum(x) OVER (ORDER BY t) AS s FROM a",
        "SELECT sum(x) OVER (ORDER BY t RANGE UNBOUNDED PRECEDING) AS s FROM a",
        "SELECT doc ->> 'total' AS total FROM a",
        "SELECT json_extract(doc, '$.total') AS total FROM a",
        "SELECT x FROM a WHERE t <= $1",
        "SELECT x FROM a; SELECT y FROM b",
    ],
)
def test_the_lint_sees_what_is_forbidden(text: str):
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) AS n, count(DISTINCT x) AS d, max(t) AS t FROM a GROUP BY x",
        "SELECT x, row_number() OVER (PARTITION BY x ORDER BY t, id) AS n FROM a",
        "SELECT sum(x) OVER (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s FROM a",
        "SELECT CAST(t AT TIME ZONE 'UTC' AS DATE) AS d FROM a",
        "SELECT a.x FROM a CROSS JOIN params AS p WHERE a.valid_from <= p.at UNION ALL SELECT b.x FROM b",
        "SELECT CASE WHEN x IS NULL THEN 0 ELSE x END AS x FROM a LEFT JOIN b ON a.id = b.id AND b.n = 1",
    ],
)
def test_the_lint_lets_the_portable_pass(text: str):
    assert faults(text) == []


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_postgres_runs_keeps_to_what_its_oldest_version_has(path: Path):
    code = re.sub(r"(?m)^\s*--.*$", "", path.read_text(encoding="utf-8"))
    found = {came: re.findall(rf"\b(?:{words})\b", code, re.IGNORECASE) for came, words in NEWER.items()}
    assert {came: words for came, words in found.items() if words} == {}
