"""A plot of a few lines as SVG, legible on a light and on a dark page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 860, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 70, 50

#: Told apart by people who do not see all colours, too (Okabe and Ito).
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")

#: Marks on each axis, about.
_MARKS = 8


@dataclass(frozen=True, kw_only=True)
class Line:
    """A named line."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Where values are on the picture."""

    right: float
    top: float

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.right

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self.top


def step_plot(lines: Sequence[Line], *, top: float, x_label: str, y_label: str, x_unit: float) -> str:
    """Return an SVG document. ``top`` has a line of its own; ``x_unit`` is what the x axis counts in."""
    right = max(x for line in lines for x, _ in line.points)
    scale = _Scale(right=right, top=top * 1.08)
    body = [
        *_axes(scale, right=right / x_unit, x_unit=x_unit, top=top),
        _text(_WIDTH / 2, _HEIGHT - 8, x_label, anchor="middle"),
        _text(_LEFT, _TOP - 8, y_label),
    ]
    for number, (line, colour) in enumerate(zip(lines, _COLOURS, strict=False)):
        body.append(_polyline(line, scale, colour))
        x = _LEFT + number * (_WIDTH - _LEFT) / len(lines)
        body.append(f'<rect x="{x:.0f}" y="16" width="14" height="4" fill="{colour}"/>')
        body.append(_text(x + 20, 22, line.name))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _axes(scale: _Scale, *, right: float, x_unit: float, top: float) -> Iterator[str]:
    step = _round_step(top)
    for value in range(0, int(top) + 1, step):
        yield _rule(scale.x(0), scale.y(value), _WIDTH - _RIGHT, scale.y(value), "#dddddd")
        yield _text(_LEFT - 8, scale.y(value) + 4, str(value), anchor="end")
    yield _rule(scale.x(0), scale.y(top), _WIDTH - _RIGHT, scale.y(top), "#333333")
    for value in range(0, int(right) + 1, _round_step(right)):
        yield _text(scale.x(value * x_unit), _HEIGHT - _BOTTOM + 18, str(value), anchor="middle")


def _round_step(largest: float) -> int:
    """Return a round distance between marks."""
    return next((step for step in (1, 2, 5, 10, 20, 30, 60, 120) if largest / step <= _MARKS), 240)


def _polyline(line: Line, scale: _Scale, colour: str) -> str:
    points = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in line.points)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="#333333">{escape(text)}</text>'
