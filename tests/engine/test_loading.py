"""Loading services by file and by name, and what each mistake is answered with."""

from __future__ import annotations

import json
import pickle
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conduit.core.errors import ServiceImportError
from conduit.engine.process.loading import ModuleRef, load_service


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; imports and `sys.path` are as before afterwards."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(path: str, text: str = "") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


# --- files and modules that load --------------------------------------------------------------


@pytest.mark.parametrize("ref", ["svc/app.py", "./svc/app.py"])
def test_a_file_is_imported_with_its_neighbours(ref: str) -> None:
    write("svc/app.py", "import prices_here\nTOTAL = prices_here.TWO * 2\n")
    write("svc/prices_here.py", "TWO = 2\n")
    module = load_service(ref)
    assert module.TOTAL == 4
    assert module.__name__ == "app"
    assert sys.path[0] == str(Path("svc").resolve())


def test_a_file_is_loaded_once() -> None:
    write("service_one.py", "STATE = []\n")
    assert load_service("service_one.py") is load_service("./service_one.py")


def test_a_file_whose_name_is_no_identifier_is_imported() -> None:
    write("my-service.v2.py", "X = 1\n")
    assert load_service("my-service.v2.py").X == 1


@pytest.mark.parametrize("ref", ["queue.py", "queue", "json.py", "turtle.py", "msgspec.py"])
def test_a_file_named_like_another_module_is_loaded_beside_it(ref: str) -> None:
    name = ref.removesuffix(".py")
    write(f"{name}.py", "import queue, json, neighbour\nMINE = neighbour.HERE\n")
    write("neighbour.py", "HERE = True\n")
    module = load_service(ref)
    assert module.MINE is True
    assert module.__name__ == f"service_{name}"
    assert sys.modules[module.__name__] is module
    assert module.queue is queue
    assert module.json is json
    assert load_service(f"./{name}.py") is module


def test_two_files_of_one_name_are_two_modules() -> None:
    write("a/service.py", "WHO = 'a'\n")
    write("b/service.py", "WHO = 'b'\n")
    write("c/service.py", "WHO = 'c'\n")
    modules = [load_service(f"{each}/service.py") for each in "abc"]
    assert [each.WHO for each in modules] == ["a", "b", "c"]
    assert len({each.__name__ for each in modules}) == 3


@pytest.mark.parametrize("ref", ["corner_shop/work/tasks.py", "corner_shop.work.tasks"])
def test_a_module_of_a_package_may_import_relatively(ref: str) -> None:
    write("corner_shop/__init__.py")
    write("corner_shop/till.py", "OPEN = True\n")
    write("corner_shop/work/__init__.py")
    write("corner_shop/work/tasks.py", "from ..till import OPEN\n")
    module = load_service(ref)
    assert module.OPEN is True
    assert module.__name__ == "corner_shop.work.tasks"


@pytest.mark.parametrize("ref", ["corner_shop/__init__.py", "corner_shop"])
def test_a_package_itself_can_be_the_service(ref: str) -> None:
    write("corner_shop/__init__.py", "from corner_shop.till import OPEN\n")
    write("corner_shop/till.py", "OPEN = True\n")
    module = load_service(ref)
    assert (module.__name__, module.OPEN) == ("corner_shop", True)


def test_what_stands_under_the_main_guard_is_not_run() -> None:
    write("guarded.py", "if __name__ == '__main__':\n    raise RuntimeError\n")
    load_service("guarded.py")


# --- what can be wrong ------------------------------------------------------------------------


def refusal(ref: str) -> str:
    """The message of the error, after a look at what it left behind: nothing."""
    path, modules = list(sys.path), set(sys.modules)
    with pytest.raises(ServiceImportError) as caught:
        load_service(ref)
    assert sys.path == path
    assert not {name for name in set(sys.modules) - modules if "service" in name}
    return str(caught.value)


def test_a_missing_file_is_answered_with_files_of_a_similar_name() -> None:
    write("svc/service.py")
    write("svc/unrelated.py")
    message = refusal("svc/servce.py")
    assert message == "there is no file svc/servce.py; did you mean service.py?"


def test_a_missing_file_in_a_missing_folder_is_just_missing() -> None:
    assert refusal("nowhere/service.py") == "there is no file nowhere/service.py"


def test_a_file_that_is_not_python_is_refused() -> None:
    write("service.txt")
    assert refusal("service.txt") == "service.txt isn't a Python file: its name must end in .py"


@pytest.mark.parametrize("ref", ["svc/", "./svc"])
def test_a_folder_is_answered_with_the_files_in_it(ref: str) -> None:
    write("svc/app.py")
    assert "is a folder" in refusal(ref)
    assert "(app.py)" in refusal(ref)


def test_a_folder_given_as_a_module_is_answered_with_the_modules_in_it() -> None:
    write("service_folder/app.py")
    with pytest.raises(ServiceImportError, match=r"is a folder; .*\(service_folder\.app\)"):
        load_service("service_folder")


def test_a_missing_module_is_answered_with_modules_of_a_similar_name() -> None:
    write("corner_service/__init__.py")
    write("corner_service/tasks.py")
    assert "did you mean corner_service?" in refusal("corner_servce.tasks")
    with pytest.raises(ServiceImportError, match=r"corner_service\.task'.*did you mean tasks\?"):
        load_service("corner_service.task")


def test_a_reference_that_is_neither_is_refused() -> None:
    assert refusal("my service") == "'my service' is neither a file nor a module's name"


def test_a_syntax_error_is_shown_with_its_line() -> None:
    file = write("service.py", "x = 1\n\ndef broken(:\n    pass\n")
    message = refusal("service.py")
    assert message.startswith(f"service.py can't be imported: {file.resolve()}, line 3: ")
    assert "SyntaxError: invalid syntax: def broken(:" in message


def test_an_error_in_the_file_is_shown_with_its_line_and_kept_as_the_cause() -> None:
    file = write("service.py", "import json\n\njson.loads('{')\n")
    with pytest.raises(ServiceImportError) as caught:
        load_service("service.py")
    assert f"{file.resolve()}, line 3: JSONDecodeError: Expecting" in str(caught.value)
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_an_error_in_a_neighbour_is_shown_where_it_is() -> None:
    write("service.py", "import neighbour_service\n")
    file = write("neighbour_service.py", "\n1 / 0\n")
    assert f"{file.resolve()}, line 2: ZeroDivisionError" in refusal("service.py")


@pytest.mark.parametrize("ref", ["service.py", "corner_service.tasks"])
def test_a_missing_dependency_is_named_with_the_line_that_wants_it(ref: str) -> None:
    write("service.py", "import not_installed_anywhere\n")
    write("corner_service/tasks.py", "import not_installed_anywhere\n")
    with pytest.raises(ServiceImportError, match="install it in this environment") as caught:
        load_service(ref)
    message = str(caught.value)
    assert ", line 1: ModuleNotFoundError: No module named 'not_installed_anywhere'; " in message


def test_a_relative_import_without_a_package_is_answered_with_what_is_missing() -> None:
    write("service.py", "from . import neighbour\n")
    assert "__init__.py" in refusal("service.py")


def test_a_script_that_exits_on_import_is_refused() -> None:
    write("service.py", "import sys\nsys.exit(3)\n")
    message = refusal("service.py")
    assert ", line 2: SystemExit: 3; " in message
    assert '`if __name__ == "__main__":`' in message


def test_a_package_whose_name_is_taken_is_refused() -> None:
    write("json/__init__.py")
    write("json/service.py")
    assert "part of the package 'json', and another module of that name" in refusal(
        "json/service.py"
    )


# --- the same module in another process -------------------------------------------------------


def load_in_a_fresh_process(ref: ModuleRef, expression: str) -> str:
    """What `expression` says of the module in an interpreter that was told nothing but the ref."""
    code = (
        "import pickle, sys; from conduit.engine.process.loading import ModuleRef; "
        f"module = pickle.loads({pickle.dumps(ref)!r}).load(); print(({expression}))"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize(
    "file", ["plain_service.py", "queue.py", "my-service.py", "corner_shop/tasks.py"]
)
def test_a_service_is_the_same_module_in_a_fresh_process(file: str) -> None:
    if "/" in file:
        write("corner_shop/__init__.py")
    write(file, "import neighbour, queue\nX = neighbour.Y\n")
    write("neighbour.py", "Y = 'here'\n")
    module = load_service(file)
    said = load_in_a_fresh_process(
        ModuleRef.of(module), "module.__name__, module.__file__, module.X, module.queue.__file__"
    )
    assert said == str((module.__name__, module.__file__, "here", queue.__file__))


def test_a_module_that_is_imported_already_is_not_imported_again() -> None:
    write("service_one.py")
    module = load_service("service_one.py")
    assert ModuleRef.of(module).load() is module
