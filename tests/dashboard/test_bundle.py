"""The dashboard's modules as one script: in order, each with its own scope, and nothing missing."""

import re
from graphlib import CycleError
from pathlib import Path

import pytest

from orchestrator.web import dashboard
from orchestrator.web.dashboard.bundle import bundle

FOLDER = Path(dashboard.__file__).parent


def test_a_module_runs_after_those_it_imports() -> None:
    script = bundle(
        {
            "a": 'import { two } from "./b.js";\ntwo();',
            "b": 'import { one } from "./c.js";\nexport const two = () => one;',
            "c": "export function one() {}",
        }
    )
    assert re.findall(r"^const \$(\w) =", script, re.MULTILINE) == ["c", "b", "a"]


def test_a_module_is_a_function_that_returns_its_exports() -> None:
    source = "export const a = 1;\nconst own = 2;\nexport async function b() {}\nexport class C {}"
    assert bundle({"some": source}) == (
        "const $some = (() => {\n"
        "const a = 1;\nconst own = 2;\nasync function b() {}\nclass C {}\n"
        "return { a, b, C };\n"
        "})();\n"
    )


def test_imports_over_several_lines_become_names_of_the_module() -> None:
    script = bundle(
        {
            "a": 'import {\n  one,\n  two,\n} from "./b.js";\none(two);',
            "b": "export const one = 1;\nexport const two = 2;",
        }
    )
    assert "const {\n  one,\n  two,\n} = $b;\none(two);" in script


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('import { one } from "./gone.js";', "a.js imports gone.js, which does not exist"),
        ('import { one, three } from "./b.js";', "a.js imports three, which b.js does not export"),
        ('import { one as uno } from "./b.js";', "a.js imports as, uno, which b.js does not export"),
        ('import one from "./b.js";', "a.js: this form is not supported: import one"),
        ('import * as b from "./b.js";', r"a.js: this form is not supported: import \*"),
        ('import "./b.js";', 'a.js: this form is not supported: import "./b.js"'),
        ("export default 1;", "a.js: this form is not supported: export default 1;"),
        ("export let changed = 1;", "a.js: this form is not supported: export let"),
        ("export { one };", "a.js: this form is not supported: export { one };"),
    ],
)
def test_what_cannot_be_joined_is_refused(source: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        bundle({"a": source, "b": "export const one = 1;"})


def test_a_circle_of_imports_is_refused() -> None:
    one, two = 'import { b } from "./b.js";', 'import { a } from "./a.js";'
    with pytest.raises(CycleError):
        bundle({"a": f"{one}\nexport const a = 1;", "b": f"{two}\nexport const b = 1;"})


def test_the_page_holds_every_module_and_main_runs_last() -> None:
    names = re.findall(r"^const \$(\w+) = \(\(\) => \{$", dashboard.page().html, re.MULTILINE)
    assert sorted(names) == sorted(file.stem for file in FOLDER.glob("*.js"))
    assert names[-1] == "main"
