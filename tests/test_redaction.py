"""What is left of a secret where a text was cut."""

import pytest

from orchestrator.adapters.databricks.fields import cut
from orchestrator.core import redaction

_SECRET = "Zq7-hidden-value"


def _parts(secret: str, size: int) -> set[str]:
    return {secret[at : at + size] for at in range(len(secret) - size + 1)}


@pytest.mark.parametrize("secret", [_SECRET, "Zq7-hid", "Zq7!x/y=z&w", "Zq7-hidden-value" * 20])
def test_no_part_of_a_secret_is_left_beside_a_cut(secret: str) -> None:
    """Wherever the secret stands in a text whose middle is cut out, a second time, too."""
    for at in range(0, 200):
        text = "." * at + secret + "." * (400 - at)
        for short in (cut(text, 120), cut(cut(text, 150), 90), f"{text[:60]}…"):
            shown = redaction.without(short, [secret])
            assert not any(part in shown for part in _parts(secret, 3)), (at, shown)


def test_ordinary_words_beside_a_cut_stay() -> None:
    text = "Zq … said of the lue and […] Zq7- in […] e"
    assert redaction.without(text, [_SECRET]) == text


def test_the_rest_of_a_value_is_removed_on_both_sides() -> None:
    assert redaction.without("it is Zq7-hid … lue, yes", [_SECRET]) == "it is […] … […], yes"


def test_a_text_full_of_cuts_is_read_in_no_time() -> None:
    shown = redaction.without("Zq7 … " * 20_000, [_SECRET])
    assert "Zq7" not in shown
