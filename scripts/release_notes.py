"""Print what CHANGELOG.md says of a release: ``release_notes.py v0.1.0``, if the app has that version."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(tag: str) -> str:
    """Return the notes of the version that the tag names.

    :raises SystemExit: the app has another version, or the change log nothing about this one.
    """
    text = (ROOT / "orchestrator" / "core" / "version.py").read_text(encoding="utf-8")
    version = re.search(r'^VERSION = "(.+)"$', text, re.MULTILINE)
    if version is None or tag != f"v{version[1]}":
        sys.exit(
            f"the tag is {tag}, and the version of the app is {version[1] if version else 'not to be found'}"
        )
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    notes = re.search(
        rf"^## \[{re.escape(version[1])}\].*?\n(.*?)(?=^## |\Z)", changes, re.MULTILINE | re.DOTALL
    )
    if notes is None or not notes[1].strip():
        sys.exit(f"CHANGELOG.md says nothing about {version[1]}")
    return notes[1].strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]))
