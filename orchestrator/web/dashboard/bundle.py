"""Join the dashboard's ES modules into one script.

The page cannot load its modules one by one. Each request would need the function key, which an import cannot
carry; ``data:`` and ``blob:`` addresses would need a policy that also lets injected scripts run. So each
module becomes a function with a scope of its own, which returns what the module exports.

A module may use two forms, each at the beginning of a line::

    import { one, two } from "./other.js";
    export const|function|async function|class name
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

_IMPORT = re.compile(r'^import \{([^{}]+)\} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|async function|class) (\w+))", re.MULTILINE)
_UNKNOWN_FORM = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class _Module:
    #: the names that it imports, by the module that they come from
    imports: dict[str, list[str]]
    exports: list[str]
    #: the source without ``import`` and ``export``
    body: str


def bundle(sources: Mapping[str, str]) -> str:
    """Return one script that runs each module after those it imports.

    :param sources: the text of each module, by its name without ``.js``.
    :raises ValueError: an import or export has another form, an imported name does not exist, or the imports
        form a circle.
    """
    modules = {name: _parse(name, source) for name, source in sources.items()}
    for name, module in modules.items():
        _check_imports(name, module, modules)
    order = TopologicalSorter({name: module.imports for name, module in modules.items()}).static_order()
    return "\n".join(_as_function(name, modules[name]) for name in order)


def _parse(name: str, source: str) -> _Module:
    imports = {other: re.findall(r"[^\s,]+", names) for names, other in _IMPORT.findall(source)}
    body = _IMPORT.sub(r"const {\1} = $\2;", source)
    exports = _EXPORT.findall(body)
    body = _EXPORT.sub("", body)
    if unknown := _UNKNOWN_FORM.search(body):
        raise ValueError(f"{name}.js: this form is not supported: {unknown[0]}")
    return _Module(imports=imports, exports=exports, body=body)


def _check_imports(name: str, module: _Module, modules: Mapping[str, _Module]) -> None:
    for other, names in module.imports.items():
        if other not in modules:
            raise ValueError(f"{name}.js imports {other}.js, which does not exist")
        if missing := sorted(set(names) - set(modules[other].exports)):
            raise ValueError(f"{name}.js imports {', '.join(missing)}, which {other}.js does not export")


def _as_function(name: str, module: _Module) -> str:
    exports = ", ".join(module.exports)
    return f"const ${name} = (() => {{\n{module.body}\nreturn {{ {exports} }};\n}})();\n"
