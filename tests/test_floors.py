"""The house rules, held by reading every file: floors, forbidden calls, no cycles.

A room that does not exist yet is no fault; a file in no known room is.
"""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GROUND = {
    *(
        "codes",
        "config",
        "config_errors",
        "config_nearest",
        "config_schema",
        "contract",
        "counts",
        "document",
    ),
    *("errors", "hashing", "yaml_reader", "__init__", "arrays", "buckets", "private", "disk"),
}
ROOMS = {
    **{"lists": 1, "log": 1},
    **{"samples": 2, "catalogue": 2, "features": 2},
    **{"quality": 3},
    **{"engines": 4, "store": 4, "export": 4, "student": 4},
}
ROOF, JOBS = 5, 6
HOME = {"pyspark": "engines", "torch": "student"}  # the one room that may import the package
ENGINES = {"duckdb", "pyspark", "deltalake", "torch"}  # nothing below floor 4 knows these
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# Nothing asks for the network; of socket, the name of this machine alone is asked.
NETWORK = {
    *("requests", "httpx", "aiohttp", "urllib3", "http", "ftplib", "smtplib", "poplib", "imaplib"),
    *("telnetlib", "xmlrpc", "websockets", "socketserver", "webbrowser"),
}
# Extension types of Arrow that unpickle what a file says (CVE-2023-47248).
UNPICKLING = {"PyExtensionType", "UnknownExtensionType", "register_extension_type"}
# Archives put files where they say; mktemp names a file that somebody else may make first;
# import_module takes a name that may be anybody's.
NEVER_CALLED = {"extractall", "mktemp", "deserialize", "unpack_archive", "read_pickle", "to_pickle"}
IMPORTS_BY_NAME = {"rankdistill.quality.measures.__init__", "rankdistill.engines.versions"}
RANDOM_SQL = re.compile(r"\b(rand|randn|random|uuid)\s*\(", re.IGNORECASE)

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for folder in ("rankdistill", "jobs")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}
MODULES = {module.removesuffix(".__init__") for module in FILES}


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def floor(module: str) -> int:
    if module.split(".")[0] == "jobs":
        return JOBS
    if room(module) in GROUND:
        return 0
    return ROOMS.get(room(module), ROOF)


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Every module imported anywhere in `tree`, in functions too, with its full name."""
    package = module.removesuffix(".__init__") if module.endswith("__init__") else module
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: -node.level + module.endswith("__init__") or None]
            base = ".".join([*(up if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def forbidden(tree: ast.AST) -> Iterator[str]:
    """What `tree` does that no file may do."""
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _forbidden_call(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module, names = getattr(node, "module", None) or "", [a.name for a in node.names]
            whole = [module, *names, *(f"{module}.{name}" for name in names)]
            yield from (name for name in whole if name.split(".")[0] in PICKLES | NETWORK)
            yield from (name for name in whole if name.startswith("urllib.request"))
            yield from {*names} & (UNPICKLING | NEVER_CALLED)
            if getattr(node, "module", "") in ("os", "yaml", "torch", "pyspark.sql.functions"):
                yield from {*names} & {"system", "popen", "load", "expr", "rand", "randn"}
        elif isinstance(node, ast.Attribute) and node.attr in UNPICKLING:
            yield node.attr
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in docs else None
        if isinstance(text, str) and RANDOM_SQL.search(text):
            yield f"random SQL: {text[:40]}"


def _forbidden_call(call: ast.Call) -> Iterator[str]:
    *_, owner, name = ["", *ast.unparse(call.func).split(".")]
    options = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
    first = getattr(call.args[0], "value", None) if call.args else None
    if (not owner and name in {"eval", "exec", "__import__", "expr"}) or name == "selectExpr":
        yield name
    if (owner, name) in {("os", "system"), ("os", "popen"), ("builtins", "eval")}:
        yield f"{owner}.{name}"
    if (owner, name) == ("torch", "load") or (owner == "yaml" and "load" in name):
        yield f"{owner}.{name}"
    if options.get("shell") is True or options.get("allow_pickle") is True:
        yield f"{name} with shell or allow_pickle"
    if owner in {"F", "functions", "sf"} and name == "expr":
        yield "F.expr"
    if name == "sql" and ("spark" in owner.lower() or owner == "session"):
        yield "spark.sql"
    if name in {"rand", "randn"} | NEVER_CALLED or (owner == "socket" and name != "gethostname"):
        yield name
    if (name == "mode" and first == "overwrite") or options.get("mode") == "overwrite":
        yield 'mode("overwrite")'


def test_the_house_is_read_at_all() -> None:
    assert {"rankdistill.config", "rankdistill.lists.batch", "rankdistill.__init__"} <= set(FILES)


@pytest.mark.parametrize("module", FILES)
def test_imports_only_go_down(module: str) -> None:
    up = [
        name
        for name in imports(module, TREES[module])
        if name.split(".")[0] == "rankdistill" and floor(name) > floor(module)
    ]
    assert up == []


@pytest.mark.parametrize("module", FILES)
def test_nothing_imports_jobs(module: str) -> None:
    assert [name for name in imports(module, TREES[module]) if name.split(".")[0] == "jobs"] == []


@pytest.mark.parametrize("module", FILES)
def test_heavy_packages_stay_in_their_rooms(module: str) -> None:
    heavy = {name.split(".")[0] for name in imports(module, TREES[module])} & ENGINES
    assert not {"pyspark", "torch"} <= heavy
    assert {name for name in heavy if HOME.get(name, room(module)) != room(module)} == set()
    assert not heavy or floor(module) >= ROOMS["engines"]


@pytest.mark.parametrize("module", FILES)
def test_no_file_does_what_is_forbidden(module: str) -> None:
    assert list(forbidden(TREES[module])) == []


@pytest.mark.parametrize("module", FILES)
def test_modules_are_imported_by_names_of_ours_alone(module: str) -> None:
    by_name = {"import_module", "__import__", "ImportString", "find_spec", "resolve_name"}
    names = {n.attr for n in ast.walk(TREES[module]) if isinstance(n, ast.Attribute)}
    names |= {n.id for n in ast.walk(TREES[module]) if isinstance(n, ast.Name)}
    assert not names & by_name or module in IMPORTS_BY_NAME


def test_no_import_cycle() -> None:
    graph = {
        module.removesuffix(".__init__"): set(imports(module, tree)) & MODULES
        for module, tree in TREES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from pickle import loads", "import cloudpickle as c", "eval(x)"),
        *("exec(x)", "subprocess.run(x, shell=True)", "os.system(x)", "from os import popen"),
        *("yaml.load(x)", "yaml.unsafe_load(x)", "from yaml import load", "torch.load(p)"),
        *("F.expr(x)", "from pyspark.sql.functions import expr", "df.selectExpr('a')"),
        *("spark.sql(x)", "self.spark.sql(x)", "F.rand()", "F.rand(seed=1)", "rand()"),
        *("df.write.mode('overwrite')", "df.write.parquet(p, mode='overwrite')"),
        *("np.load(p, allow_pickle=True)", "q = 'select random() from t'"),
        *("df.filter('rand( ) < 0.1')", "q = f'order by RAND(3), {x}'"),
        *("import requests", "from urllib.request import urlopen", "import http.client"),
        *("import urllib.request", "from urllib import request", "socket.create_connection(x)"),
        *(
            "class A(pa.PyExtensionType): pass",
            "pa.register_extension_type(x)",
            "pa.deserialize(x)",
        ),
        *("archive.extractall(x)", "tempfile.mktemp()", "from tempfile import mktemp"),
        *("import dill", "import joblib", "import shelve", "import marshal"),
    ],
)
def test_the_reader_sees_what_is_forbidden(line: str) -> None:
    assert list(forbidden(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        *("model.eval()", "connection.sql(text)", "json.load(f)", "mode('append')"),
        *("from urllib.parse import quote", "socket.gethostname()", "JobRequest(request)"),
        *("'''a docstring on rand() and pickle'''", "operand(x)", "safetensors.torch.load_file(p)"),
    ],
)
def test_the_reader_lets_pass_what_is_not(line: str) -> None:
    assert list(forbidden(ast.parse(line))) == []


@pytest.mark.parametrize(
    ("module", "line", "target"),
    [
        ("rankdistill.log.door", "from . import casts", "rankdistill.log"),
        ("rankdistill.log.door", "from ..lists.batch import Lists", "rankdistill.lists.batch"),
        ("rankdistill.log.__init__", "from .door import x", "rankdistill.log.door"),
        ("rankdistill.build", "from rankdistill.lists import batch", "rankdistill.lists.batch"),
        ("rankdistill.build", "def f():\n    import duckdb.x", "duckdb.x"),
    ],
)
def test_the_reader_resolves_imports(module: str, line: str, target: str) -> None:
    (name,) = imports(module, ast.parse(line))
    assert name.startswith(target)
