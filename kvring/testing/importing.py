"""How a script gets at a factory: the line that imports it, where there is one."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["import_lines"]


def import_lines(factory: Any) -> list[str]:
    """Lines of Python after which `make` is the factory, or says that it has to be filled in."""
    module, path = _address(factory)
    if not path:
        named = getattr(factory, "__qualname__", type(factory).__qualname__)
        return [f"make = ...  # your factory: {named} cannot be imported by name"]
    if "." not in path:
        return [f"from {module} import {path} as make"]
    return [f"import {module}", "", f"make = {module}.{path}"]


def _address(found: Any) -> tuple[str, str]:
    """Module and dotted name under which this very object can be had; empty if there is none."""
    owner = getattr(found, "__self__", None)
    name = getattr(found, "__name__", None)
    if owner is not None and name is not None and getattr(owner, name, None) == found:
        home, path = _address(owner)  # a method of a class or of an object
        return (home, f"{path}.{name}") if path else ("", "")
    module, path = getattr(found, "__module__", None), getattr(found, "__qualname__", "")
    if isinstance(module, str) and _at(module, path) is found:
        return _importable(module), path if _importable(module) else ""
    # A lambda, a class made in a function, a partial or an object: some module may have named it.
    homes = [name for name in (module, type(found).__module__) if isinstance(name, str)]
    for home in [*homes, *list(sys.modules)]:
        for name, value in list(vars(sys.modules.get(home, object)).items()):
            if value is found and name.isidentifier() and _importable(home):
                return _importable(home), name
    return "", ""


def _at(module: str, path: str) -> Any:
    """What stands under a dotted name; None if nothing does."""
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _importable(module: str) -> str:
    """The name that another script imports a module by; empty for a script that was run itself."""
    if module != "__main__":
        return module
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # set by ``python -m``
    return spec.name if spec is not None else ""
