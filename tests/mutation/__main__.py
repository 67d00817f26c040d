"""See which changes of the code and of the SQL no test notices: ``make mutate PATHS="FILE..."``.

SQL is changed by tests/mutation/statements.py, Python by mutmut. Nothing is written to the project: what is
changed lies under .run/mutation.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from orchestrator.adapters.store.queries import SQL_ROOT
from tests.mutation import code, judge
from tests.mutation.judge import Fate, say
from tests.mutation.statements import Mutant, mutants_of

#: What decides about entries.
USUAL = ("orchestrator/core", "orchestrator/usecases", "orchestrator/adapters/databricks", str(SQL_ROOT))


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if every mutant was noticed."""
    options = _arguments(argv)
    files = [file for path in options.paths or USUAL for file in _files(Path(path))]
    survivors = _try_statements([file for file in files if file.suffix == ".sql"], options)
    python = [file for file in files if file.suffix == ".py"]
    if python:
        survivors += code.try_files(python, sample=options.sample)
    return 1 if survivors else 0


def _try_statements(files: Sequence[Path], options: argparse.Namespace) -> int:
    """Judge the mutants of files of SQL and return how many no test noticed."""
    if not files:
        return 0
    judge.warm_up()
    record = judge.recorded()
    fates: Counter[Fate] = Counter()
    for file in files:
        for mutant in _chosen(list(mutants_of(file.read_text(encoding="utf-8"))), options):
            fate = judge.judge(file.name, mutant, record)
            fates[fate] += 1
            if fate is not Fate.KILLED or options.verbose:
                say(f"{fate.value}: {file.name}: {mutant.query}: {mutant.what}")
    say("SQL: " + (", ".join(f"{count} {fate.value}" for fate, count in fates.items()) or "no mutants"))
    return fates[Fate.SURVIVED] + fates[Fate.UNTESTED]


def _chosen(mutants: list[Mutant], options: argparse.Namespace) -> list[Mutant]:
    if options.query:
        mutants = [mutant for mutant in mutants if mutant.query in options.query]
    if options.sample == 1:
        return mutants
    return random.Random(options.seed).sample(mutants, len(mutants) // options.sample)  # noqa: S311


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise SystemExit(f"{path} does not exist")
    if path.is_file():
        return [path]
    # Migrations run once, and an adoption is another story: neither is mutated unless it is named.
    found = sorted({*path.glob("*.py"), *path.glob("*.sql")} - {path / "__init__.py", path / "adopt.sql"})
    return [file.resolve().relative_to(Path.cwd()) for file in found]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", help="files or folders; what decides about entries by default")
    parser.add_argument("--query", action="append", help="of SQL, only the query or piece of this name")
    parser.add_argument(
        "--sample", type=int, default=1, metavar="N", help="one mutant in N; of Python one in ten"
    )
    parser.add_argument("--seed", type=int, default=1, help="which ones of the SQL")
    parser.add_argument("--verbose", action="store_true", help="name those of the SQL that were noticed, too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
