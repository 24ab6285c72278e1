"""The house style that the other tools cannot check: names, sizes, docstrings, and what must never be committed."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

BANNED_WORDS = {
    "common",
    "data",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "info",
    "manager",
    "managers",
    "misc",
    "processor",
    "processors",
    "service",
    "services",
    "util",
    "utils",
}
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
PRODUCT = ("offchain", "keepers")
DOCUMENTED = (*PRODUCT, "demo", "scripts", "toolchain", "examples", "bench", "simulator")

# Written so that this file does not match itself.
REGISTRIES = re.compile(
    r"pypi[.]org|files[.]pythonhosted|npmjs[.](?:org|com)|yarnpkg[.]com|deb[.]debian|--(?:extra-)?index-url"
    r"|--registry[ =]http|\"resolved\": *\"http"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}{)>/~*-])/(?:work|root|home)/|[.]library/|\bshared/(?:reference|seeds|hooks)\b")


def tracked() -> list[Path]:
    """Every file that is committed, or would be by `git add --all`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def under(*folders: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def texts() -> Iterator[tuple[str, int, str]]:
    """(file, line number, line) of every tracked text file."""
    for path in tracked():
        try:
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            yield name_of(path), number, line


def matches(pattern: re.Pattern[str]) -> list[str]:
    return [f"{name}:{number}: {line.strip()[:100]}" for name, number, line in texts() if pattern.search(line)]


def words_of(stem: str) -> set[str]:
    return set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", stem).lower().split("_"))


def test_names_say_what_a_module_is() -> None:
    sources = [path.relative_to(ROOT) for path in tracked() if path.suffix in (".py", ".sol")]
    bad = [str(path) for path in sources if any(words_of(Path(part).stem) & BANNED_WORDS for part in path.parts)]
    assert not bad, f"names that say nothing: {bad}"


def test_files_are_short() -> None:
    long = {
        name_of(path): lines
        for path in under(*PRODUCT)
        if (lines := len(path.read_text().splitlines())) > MAX_FILE_LINES
    }
    assert not long, f"more than {MAX_FILE_LINES} lines: {long}"


def test_functions_are_short() -> None:
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in under(*PRODUCT)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long, f"more than {MAX_FUNCTION_LINES} lines: {long}"


def test_every_module_opens_with_a_docstring() -> None:
    bare = [
        name_of(path)
        for path in under(*DOCUMENTED)
        if (tree := ast.parse(path.read_text())).body and ast.get_docstring(tree) is None
    ]
    assert not bare, f"no docstring: {bare}"


def test_no_registry_is_named() -> None:
    assert matches(REGISTRIES) == []


def test_no_path_of_a_machine() -> None:
    assert matches(MACHINE_PATHS) == []


# Scripts are imported by `ape run` whichever of them runs, and by tests: importing one must do nothing.

# Besides these only classes (Path, Address, Choice ...) may be called for the value of a constant.
HARMLESS_CALLS = {"cast", "compile", "frozenset", "fromhex", "from_hex", "int", "joinpath", "keccak", "resolve"}


def does_something(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return False
        case ast.Expr(value=ast.Constant()):
            return False
        case ast.Assign() | ast.AnnAssign():
            calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
            called = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "?") for call in calls}
            return any(not name[0].isupper() for name in called - HARMLESS_CALLS)
        case ast.If(test=test):
            return ast.unparse(test) not in ("__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING")
    return True


def test_importing_a_script_does_nothing() -> None:
    acting = [
        f"{name_of(path)}:{statement.lineno}"
        for path in under("scripts")
        for statement in ast.parse(path.read_text()).body
        if does_something(statement)
    ]
    assert not acting, f"these run when the script is imported: {acting}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os", False),
        ("ROOT = Path(__file__).resolve().parent", False),
        ("if __name__ == '__main__': main()", False),
        ("main()", True),
        ("VAULT = project.Vault.deploy()", True),
        ("for x in y: pass", True),
    ],
)
def test_the_check_of_scripts_itself(source: str, expected: bool) -> None:
    assert does_something(ast.parse(source).body[0]) is expected


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cd /" + "work/main", True),
        ('"/' + 'home/me/x"', True),
        ("GET /v1/" + "work/", False),
        ("~/" + "work/x", False),
        ("$(ROOT)/" + "work/x", False),
    ],
)
def test_the_check_of_paths_itself(line: str, found: bool) -> None:
    assert bool(MACHINE_PATHS.search(line)) is found
