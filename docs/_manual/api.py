"""Pages of the API, one for each public name, written from ``__all__`` when the build begins.

They go to ``reference/api``, which is not in the repository; the overview takes the place of a
comment in ``reference/api.md``. A name that joins ``kvring.__all__`` has both from then on.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from sphinx.ext.autodoc.mock import mock

__all__ = ["setup"]

# Modules whose public names a user meets, and what the overview says of them.
MODULES = {
    "kvring": "The cache",
    "kvring.adapters.transformers": "For transformers",
    "kvring.testing": "The oracle, for authors of other caches",
    "kvring.reference": "The contract, on plain lists",
    "kvring.bench": "Benchmarks with caches of your own",
}
MARK = "<!-- api: make docs lists every name here -->"
# Headings over its classes with methods, its functions, small classes and errors.
KINDS = {
    "kvring": ("Caches and views", "Functions", "Modes, policies and facts", "Errors"),
    "kvring.adapters.transformers": ("Caches", "Functions", "Values", "Errors"),
    "kvring.testing": ("To declare and to run", "Functions", "What is observed", "Errors"),
    "kvring.reference": ("Caches and sequences", "Functions", "What queries see", "Errors"),
    "kvring.bench": ("Caches", "Functions", "Contestants and results", "Errors"),
}


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", _write_pages)
    app.connect("source-read", _fill_overview)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_pages(app: Any) -> None:
    folder = Path(app.srcdir) / "reference" / "api"
    folder.mkdir(exist_ok=True)
    pages = {}
    for module in _present():
        for name in _names(module):
            pages[f"{module}.{name}.rst"] = _page(module, name, _title(module, name))
    for old in set(folder.glob("*.rst")) - {folder / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)  # Sphinx reads again what is newer


def _fill_overview(app: Any, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, _overview())
        app.env.note_reread()


def _present() -> list[str]:
    """Those of MODULES that this version has; their optional libraries need not be installed."""
    root = Path(importlib.import_module("kvring").__file__).parents[1]
    paths = {name: root.joinpath(*name.split(".")) for name in MODULES}
    return [
        name
        for name, path in paths.items()
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists()
    ]


def _names(module: str) -> list[str]:
    """Its public names, without those that stand for `Any`, which has no page to be written."""
    names = [name for name in _loaded(module).__all__ if not name.startswith("__")]
    return [name for name in names if _member(module, name) is not Any]


def _title(module: str, name: str) -> str:
    """The name; with its module where two have one of that name, or contents say it twice."""
    homes = [other for other in _present() if name in _names(other)]
    return name if len(homes) == 1 else f"{module.rpartition('.')[2]}.{name}"


def _member(module: str, name: str) -> Any:
    return getattr(_loaded(module), name)


def _loaded(module: str) -> Any:
    """The module, whether or not the libraries that it is for are installed."""
    with mock(["torch", "transformers"]):
        return importlib.import_module(module)


def _stood_in(member: type) -> str:
    """The signature of a class whose base was not installed; a stand-in takes anything."""
    if not any("mock" in base.__module__ for base in member.__mro__):
        return ""
    signature = inspect.signature(member.__init__)  # type: ignore[misc]
    own = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    return str(signature.replace(parameters=own[1:], return_annotation=signature.empty))


def _is_error(member: Any) -> bool:
    return inspect.isclass(member) and issubclass(member, Exception)


def _page(module: str, name: str, title: str) -> str:
    member = _member(module, name)
    title = f"{title}\n{'=' * len(title)}\n\n.. currentmodule:: {module}\n\n"
    if _is_error(member):
        return f"{title}.. autoexception:: {name}\n   :show-inheritance:\n"
    if inspect.isclass(member):
        said = _stood_in(member)
        return f"{title}.. autoclass:: {name}{said}\n   :members:\n   :inherited-members:\n"
    if callable(member):
        return f"{title}.. autofunction:: {name}\n"
    return f"{title}.. autodata:: {name}\n"


def _kind(member: Any) -> int:
    """Which of its module's KINDS a member is."""
    if _is_error(member):
        return 3
    if not inspect.isclass(member):
        return 1 if callable(member) else 2
    methods = [n for n, _ in inspect.getmembers(member, callable) if not n.startswith("_")]
    return 0 if len(methods) > 2 else 2


def _overview() -> str:
    """The list of all names, in Markdown but for the tables."""
    parts, pages = [], []
    for module in _present():
        parts.append(f"## {MODULES[module]}\n\n`import {module}`\n")
        by_kind: dict[int, list[str]] = {}
        for name in _names(module):
            by_kind.setdefault(_kind(_member(module, name)), []).append(name)
            pages.append(f"   api/{module}.{name}")
        for kind in sorted(by_kind):
            lines = "\n".join(f"   ~{module}.{name}" for name in by_kind[kind])
            parts.append(f"### {KINDS[module][kind]}\n" if len(by_kind) > 1 else "")
            parts.append(_rst(f".. autosummary::\n   :nosignatures:\n\n{lines}"))
    parts.append(_rst(".. toctree::\n   :hidden:\n\n" + "\n".join(pages)))
    return "\n".join(parts)


def _rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```\n"
