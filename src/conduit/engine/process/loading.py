"""Loading service files: `conduit run service.py`, and the same module again in a worker process.

A file is a module of its own, or part of a package where its folder has an `__init__.py`. Its
folder goes to the front of `sys.path`, as when Python runs a script, so that it can import its
neighbours. A file whose name another module has already (`queue.py`, `json.py`) is loaded under a
name of its own, and its folder goes to the end of `sys.path`: both can then be imported.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from conduit.core.errors import InvalidTaskError, ServiceImportError

SCRIPT = "__main__"
SCRIPT_AGAIN = "__mp_main__"
"""What a script is called in its worker processes: multiprocessing's name for the same thing."""


def load_service(ref: str) -> ModuleType:
    """Import a service by its file's path (`./svc/app.py`) or its module's name (`shop.tasks`).

    Raises `ServiceImportError`, which says what is wrong and where; the error that the service's
    own code raised is its `__cause__`. Nothing of a service that fails stays imported.
    """
    importlib.invalidate_caches()
    if ref.endswith(".py") or "/" in ref or Path(ref).is_file():
        return _load_path(ref)
    if Path(f"{ref}.py").is_file():  # `conduit run queue` means the file here, not Python's own
        return _load_path(f"{ref}.py")
    return _load_dotted(ref)


class ModuleRef(Struct, frozen=True):
    """A module, named so that a fresh process imports the very same one.

    `package` is the package of a script that was started with `python -m`.
    """

    name: str
    file: str | None
    path: tuple[str, ...]
    package: str | None = None

    @classmethod
    def of(cls, module: ModuleType) -> ModuleRef:
        """Describe an imported module. Raises `InvalidTaskError` if it came from no file."""
        name, file = module.__name__, getattr(module, "__file__", None)
        if name not in (SCRIPT, SCRIPT_AGAIN):
            where = None if file is None else str(Path(file).absolute())
            return cls(name, where, absolute_path())
        if file is None or not Path(file).is_file():
            raise InvalidTaskError(
                "functions typed into a notebook, a shell or standard input can't be found again "
                "by a worker process; put them in a file and import it, "
                'or use sync_executor="thread"'
            )
        # Errors raised in the child name their class by this module's name there.
        sys.modules.setdefault(SCRIPT_AGAIN, module)
        return cls(SCRIPT, str(Path(file).absolute()), absolute_path(), module.__package__)

    def load(self) -> ModuleType:
        """Import the module unless that was done before. Raises `ServiceImportError`.

        A script is loaded under its file, without what stands under `if __name__ == "__main__"`.
        """
        added = [entry for entry in sys.path if entry not in self.path]
        sys.path[:] = [*self.path, *added]
        name = SCRIPT_AGAIN if self.name == SCRIPT else self.name
        known = sys.modules.get(name)
        where = Path(self.file) if self.file is not None else None
        # Importing multiprocessing gives the main module, whatever it is, the script's name here.
        if known is not None and (self.name != SCRIPT or _file_of(known) == where):
            return known
        with _explained(self.file or name, None if where is None else where.parent):
            if where is None or (name == self.name and _origin(name) == where.resolve()):
                return importlib.import_module(name)
            return _execute(where, name, self.package)


def absolute_path() -> tuple[str, ...]:
    """`sys.path` as it holds in any working directory."""
    return tuple(str(Path(entry).absolute()) for entry in sys.path)


# --- by path ---------------------------------------------------------------------------------


def _load_path(ref: str) -> ModuleType:
    file = _existing(ref)
    if (file.parent / "__init__.py").is_file():
        return _load_in_package(ref, file)
    stem = file.stem.replace(".", "_")  # with a dot it would name a package
    known = sys.modules.get(stem)
    if known is not None and _file_of(known) == file:
        return known
    with _explained(ref, file.parent):
        if known is None and stem not in sys.stdlib_module_names:
            sys.path.insert(0, str(file.parent))
            return _execute(file, stem, None)
        name = _free_name(stem, file)
        if name in sys.modules:
            return sys.modules[name]
        sys.path.append(str(file.parent))
        return _execute(file, name, None)


def _existing(ref: str) -> Path:
    file = Path(ref)
    if file.is_dir():
        inside = ", ".join(sorted(each.name for each in file.glob("*.py"))) or "no .py files"
        raise ServiceImportError(
            f"{ref} is a folder; name the file with your workers in it ({inside})"
        )
    if not file.exists():
        found = sorted(each.name for each in file.parent.glob("*.py"))
        raise ServiceImportError(f"there is no file {ref}{_did_you_mean(file.name, found)}")
    if file.suffix != ".py":
        raise ServiceImportError(f"{ref} isn't a Python file: its name must end in .py")
    return file.resolve()


def _load_in_package(ref: str, file: Path) -> ModuleType:
    top = file.parent
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    parts = file.relative_to(top.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    with _explained(ref, file.parent):
        sys.path.insert(0, str(top.parent))
        if top.name in sys.modules and _file_of(sys.modules[top.name]) != top / "__init__.py":
            raise ServiceImportError(
                f"{ref} is part of the package {top.name!r}, and another module of that name is "
                f"imported already; give the folder {top} another name"
            )
        return importlib.import_module(name)


def _free_name(stem: str, file: Path) -> str:
    """Name a file whose own name is taken; the same one each time it is asked for."""
    number = 1
    while True:
        name = f"service_{stem}" if number == 1 else f"service_{stem}_{number}"
        known = sys.modules.get(name)
        if known is None or _file_of(known) == file:
            return name
        number += 1


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _origin(name: str) -> Path | None:
    """Where an import of `name` would find it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a parent package is missing, or is no package
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.origin is not None else None


def _execute(file: Path, name: str, package: str | None) -> ModuleType:
    """Run a file as the module `name`, whether or not an import would find it there."""
    if name == SCRIPT_AGAIN:
        module = ModuleType(name)  # like the script itself, it has no import spec
        module.__file__, module.__package__ = str(file), package
        sys.modules[SCRIPT] = module
        sys.modules[name] = module
        exec(compile(file.read_bytes(), file, "exec"), module.__dict__)
        return module
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# --- by name ---------------------------------------------------------------------------------


def _load_dotted(name: str) -> ModuleType:
    here = Path.cwd()
    if not all(part.isidentifier() for part in name.split(".")):
        found = sorted(each.name for each in here.glob("*.py"))
        raise ServiceImportError(
            f"{name!r} is neither a file nor a module's name{_did_you_mean(name, found)}"
        )
    with _explained(name, here):
        sys.path.insert(0, str(here))
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # a module that the service itself imports
            folder = here.joinpath(*error.name.split(".")[:-1])
            wanted = error.name.rpartition(".")[2]
            raise ServiceImportError(
                f"there is no module {error.name!r} here ({here}) or in this environment"
                f"{_did_you_mean(wanted, _modules_in(folder))}"
            ) from error
        if _file_of(module) is None and hasattr(module, "__path__"):
            found = _modules_in(Path(*name.split(".")))
            inside = ", ".join(f"{name}.{each}" for each in found) or "it has no .py files"
            raise ServiceImportError(
                f"{name!r} is a folder; name the module with your workers in it ({inside})"
            )
        return module


def _modules_in(folder: Path) -> list[str]:
    files = {each.stem for each in folder.glob("*.py")}
    packages = {each.parent.name for each in folder.glob("*/__init__.py")}
    return sorted(files | packages)


# --- what went wrong -------------------------------------------------------------------------


def _did_you_mean(name: str, found: list[str]) -> str:
    close = difflib.get_close_matches(name, found, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


@contextmanager
def _explained(ref: str, folder: Path | None) -> Generator[None]:
    """Turn any error of a service's code into one `ServiceImportError`; leave nothing behind."""
    path = list(sys.path)
    try:
        yield
    except ServiceImportError:
        sys.path[:] = path
        raise
    except (Exception, SystemExit) as error:
        sys.path[:] = path
        raise ServiceImportError(f"{ref} can't be imported: {_explain(error, folder)}") from error


def _explain(error: BaseException, folder: Path | None) -> str:
    if isinstance(error, SyntaxError) and error.filename is not None:
        words = f"{type(error).__name__}: {error.msg}"
        source = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        return f"{error.filename}, line {error.lineno}: {words}{source}"
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    where = _users_line(error, folder)
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = "; install it in this environment, or check the name"
    elif isinstance(error, ImportError) and "no known parent package" in str(error):
        hint = "; relative imports need an __init__.py beside the file"
    elif isinstance(error, SystemExit):
        hint = '; put what a script does under `if __name__ == "__main__":`'
    return f"{where}{words}{hint}"


def _users_line(error: BaseException, folder: Path | None) -> str:
    """Find the last line of the service's own code on the way to the error."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        inside = folder is not None and file.is_relative_to(folder)
        if inside and "site-packages" not in file.parts:
            return f"{file}, line {frame.lineno}: "
    return ""
