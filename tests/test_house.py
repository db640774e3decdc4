"""The house rules that no linter knows: which way imports point, what is public, what the wheel holds."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import auditlab
from auditlab import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "auditlab"
MODULES = sorted(PACKAGE.rglob("*.py"))
SQL = sorted((ROOT / "sql").rglob("*.sql"))

LAYERS = (
    {"errors"},
    {"schema", "clock", "marks", "queries"},
    {"engines"},
    {
        "assembled",
        "beginning",
        "callers",
        "cells",
        "changed_fields",
        "completion",
        "cut",
        "description",
        "dictionary",
        "documents",
        "encoding",
        "keyfields",
        "keys",
        "few_changes",
        "field_changes",
        "field_states",
        "flags",
        "knowledge",
        "layouts",
        "lazy",
        "lineage",
    }
    | {
        "buckets",
        "linked",
        "links",
        "literals",
        "lives",
        "malformed",
        "masking",
        "order",
        "origins",
        "placeholders",
        "places",
        "printable",
        "reading",
        "recorded",
    }
    | {
        "records",
        "rekeys",
        "remedies",
        "rows",
        "selection",
        "set_aside",
        "shape",
        "shortcuts",
        "spans",
        "temporary",
        "threads",
        "valid_time",
        "values",
        "visibility",
        "written",
    },
    {"temporal"},
    {"analytics"},
    {"archive", "capture", "connection", "load"},
    {"changelog", "documented", "selectors", "sources", "verbs", "viewing"},
    {"", "__main__", "charts", "cli", "demo", "doctor", "report", "testing", "widgets"},
)
"""The rooms of the package, lower first; each imports from its own layer and below. "" is auditlab itself."""

ONE_ROOM = {
    "duckdb": {"engines/duckdb.py"},
    "adbc_driver_manager": {"connection.py"},
    "adbc_driver_postgresql": {"connection.py"},
    "typer": {"cli"},
    "rich": {"cli"},
    "anywidget": {"widgets"},
}
"""Libraries that only one place knows."""

IMPORTED_WHERE_USED = {"altair", "cryptography", "hypothesis", "pwd"}
"""What may be imported inside a function: parts that not every machine has."""

PUBLIC = {
    "ChangeLog",
    "EntityChange",
    "Mark",
    "Upcasters",
    "archive_postgres",
    "check",
    "checkpoint",
    "compact",
    "create_partitions",
    "entity_uuid",
    "errors",
    "from_arrow",
    "head",
    "hold",
    "holds",
    "install",
    "mark",
    "pit_join",
    "prove",
    "prune",
    "read_csv",
    "read_debezium",
    "read_jsonl",
    "read_marks",
    "read_parquet",
    "read_postgres",
    "read_query",
    "reconcile",
    "release",
    "scan",
    "scan_archive",
    "snapshot",
    "track",
    "untrack",
    "verify",
}

GLUED = {
    "auditlab/demo/server.py": "CREATE DATABASE takes no parameter; its names are quoted",
    "auditlab/load/catalog.py": "a SELECT list made of the catalog's columns, each quoted",
    "auditlab/load/filters.py": "the same list, put into a statement of sql/load",
}
"""Where a statement is put together all the same, and why that is safe."""

STATEMENT = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|TRUNCATE|COPY|WITH|GRANT|LOCK|SET)\s", re.ASCII
)


def room(module: Path) -> str:
    """The room that a file belongs to: the first part of its module's name."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def layer(name: str) -> int:
    found = [place for place, rooms in enumerate(LAYERS) if name in rooms]
    assert found, f"auditlab/{name} is in no layer: give it one in LAYERS"
    return found[0]


def imports(module: Path) -> Iterator[str]:
    """The full name of everything that a file imports, also what it imports for types alone."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of_import(name: str) -> str | None:
    """The room that an imported name lies in; None where it is not ours."""
    first, *rest = name.split(".")
    if first != "auditlab":
        return None
    is_room = rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").exists())
    return rest[0] if is_room else ""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(module: Path):
    mine = room(module)
    theirs = {found for name in imports(module) if (found := room_of_import(name)) is not None}
    wrong = sorted(name for name in theirs - {mine} if layer(name) > layer(mine))
    assert not wrong, f"{mine} imports {wrong}, which lie above it"


def test_the_connection_knows_errors_and_queries_alone():
    theirs = {room_of_import(name) for name in imports(PACKAGE / "connection.py")} - {None}
    assert theirs <= {"errors", "queries"}


@pytest.mark.parametrize("library", sorted(ONE_ROOM))
def test_a_library_is_known_to_one_room(library: str):
    knowing = {
        str(module.relative_to(PACKAGE))
        for module in MODULES
        if any(name.split(".")[0] == library for name in imports(module))
    }
    assert knowing
    assert {
        name for name in knowing if name not in ONE_ROOM[library] and name.split("/")[0] not in ONE_ROOM[library]
    } == set()


def test_what_is_imported_is_declared():
    """A fresh environment holds what pyproject.toml names, and what that happens to bring along may go."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^\w-]", wanted)[0].replace("-", "_") for wanted in project["dependencies"]}
    imported = {name.split(".")[0] for module in MODULES for name in imports(module)}
    third_party = imported - set(sys.stdlib_module_names) - {"auditlab"} - IMPORTED_WHERE_USED
    assert third_party - declared == set()


def test_imports_stand_at_the_top():
    inside = []
    for module in MODULES:
        for function in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for node in ast.walk(function):
                    if isinstance(node, ast.Import | ast.ImportFrom):
                        names = (
                            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
                        )
                        unasked = [name for name in names if name.split(".")[0] not in IMPORTED_WHERE_USED]
                        inside += [f"{module.name}: {name}" for name in unasked]
    assert inside == []


def test_files_hold_one_concept():
    long = {str(module.relative_to(ROOT)): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}
    homeless = {"utils", "helpers", "common", "core", "misc"}
    assert [module.name for module in MODULES if module.stem in homeless or module.parent.name in homeless] == []


def test_test_files_have_names_of_their_own():
    """pytest imports them by their bare name: two of one name stop the whole run."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_the_public_list_is_what_is_there():
    names = {name for name, value in vars(auditlab).items() if not isinstance(value, ModuleType)}
    there = {name for name in names if not name.startswith("_")} - {"annotations"}
    assert set(auditlab.__all__) - {"errors"} == there
    assert set(auditlab.__all__) == PUBLIC
    assert list(auditlab.__all__) == sorted(auditlab.__all__)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_a_module_lists_it_has(module: Path):
    if module.stem == "__main__":
        return
    name = ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    loaded = importlib.import_module(name)
    listed = getattr(loaded, "__all__", [])
    assert [item for item in listed if not hasattr(loaded, item)] == []
    assert len(listed) == len(set(listed))


def test_importing_does_nothing():
    """No widget, no command line, no driver's connection, no folder: only what the verbs need."""
    code = (
        "import sys, os; before = set(os.listdir('.')); import auditlab; "
        "unasked = {'ipywidgets', 'anywidget', 'typer', 'rich', 'sqlglot', 'hypothesis'} & set(sys.modules); "
        "assert not unasked, unasked; assert set(os.listdir('.')) == before"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("statement", SQL, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_sql_file_begins_with_what_it_does(statement: Path):
    first = statement.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"-- \S.{10,}", first), f"{statement.name} begins with {first!r}"


def test_every_sql_file_is_used():
    code = "\n".join(module.read_text(encoding="utf-8") for module in MODULES)
    unused = [
        f"{folder.name}/{name}"
        for folder in sorted((ROOT / "sql").iterdir())
        for name in queries.names(folder.name)
        if not re.search(rf'"{re.escape(name)}"', code)
        and not any(name.startswith(prefix) for prefix in re.findall(r'"(\w+_)["{]', code))
    ]
    assert unused == []


def test_no_sql_is_glued_together_in_modules():
    """In an f-string that is a statement, only quoted identifiers and literals stand; nothing is added by + or %."""
    glued = []
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                first = node.values[0]
                parts = [value.value for value in node.values if isinstance(value, ast.FormattedValue)]
                if is_statement(first) and not all(map(is_quoted, parts)):
                    glued.append(f"{module.relative_to(ROOT)}:{node.lineno}")
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod) and is_statement(node.left):
                glued.append(f"{module.relative_to(ROOT)}:{node.lineno}")
    assert {place for place in glued if place.partition(":")[0] not in GLUED} == set()
    assert {place.partition(":")[0] for place in glued} == set(GLUED)


def is_statement(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(STATEMENT.match(node.value))


def is_quoted(node: ast.AST) -> bool:
    name = node.func if isinstance(node, ast.Call) else None
    called = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
    return called in {"quote_identifier", "quote_literal"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a freshly built wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as built:
        return built.namelist()


def test_the_wheel_holds_the_package_its_sql_and_its_sample(wheel: list[str]):
    expected = {str(module.relative_to(ROOT)) for module in MODULES}
    expected |= {f"auditlab/{statement.relative_to(ROOT)}" for statement in SQL}
    expected |= {str(file.relative_to(ROOT)) for file in (PACKAGE / "widgets" / "static").iterdir()}
    expected |= {"auditlab/py.typed", "auditlab/demo/sample.parquet", "auditlab/demo/explore.ipynb"}
    assert expected - set(wheel) == set()


def test_the_wheel_holds_nothing_else(wheel: list[str]):
    own = [name for name in wheel if ".dist-info/" not in name]
    assert [name for name in own if not name.startswith("auditlab/")] == []
    kinds = {".py", ".sql", ".typed", ".parquet", ".ipynb", ".js", ".css"}
    assert [name for name in own if Path(name).suffix not in kinds] == []
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
