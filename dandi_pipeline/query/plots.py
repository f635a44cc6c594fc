"""Two plots as inline SVG: a growing number over time, and counts by day. Each has its numbers as text, too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 640, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 12, 24
_KINDS = ("insert", "update", "delete")


@dataclass(frozen=True)
class Bar:
    """What happened on one day: how many changes of each kind."""

    day: str
    kinds: Mapping[str, int]

    @property
    def total(self) -> int:
        """All changes of the day."""
        return sum(self.kinds.values())


def steps(points: Sequence[tuple[str, int]], *, title: str) -> Markup:
    """Draw a number that stays as it is from one day to the next; nothing for no day at all."""
    if not points:
        return Markup("")
    days = [date.fromisoformat(day).toordinal() for day, _ in points]
    first, span, top = days[0], max(1, days[-1] - days[0]), max(value for _, value in points)
    path = f"M{_LEFT} {_y(0, top):.1f}"
    for ordinal, (_, value) in zip(days, points, strict=True):
        path += f"H{_x(ordinal - first, span):.1f}V{_y(value, top):.1f}"
    path += f"H{_WIDTH - _RIGHT}"
    summary = f"{title}: {points[0][1]:,} on {points[0][0]}, {points[-1][1]:,} on {points[-1][0]}"
    shape = Markup('<path class="line" d="{}"/>').format(path)
    return _svg(shape, title, summary, top, points[0][0], points[-1][0])


def bars(days: Sequence[Bar], *, title: str) -> Markup:
    """Draw a bar for each day, of the kinds one above the other; nothing for no day at all."""
    if not days:
        return Markup("")
    top = max(day.total for day in days)
    room = (_WIDTH - _LEFT - _RIGHT) / len(days)
    shapes = [_bar(day, _LEFT + room * place, min(room * 0.8, 40), top) for place, day in enumerate(days)]
    summary = f"{title}: " + ", ".join(
        f"{day.day} {' '.join(f'{number:,} {kind}' for kind, number in day.kinds.items())}" for day in days[-10:]
    )
    return _svg(Markup("").join(shapes), title, summary, top, days[0].day, days[-1].day)


def _bar(day: Bar, left: float, width: float, top: int) -> Markup:
    pieces = []
    below = 0
    for kind in _KINDS:
        number = day.kinds.get(kind, 0)
        if number:
            upper, lower = _y(below + number, top), _y(below, top)
            pieces.append(
                Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {} {}</title></rect>').format(
                    kind, f"{left:.1f}", f"{upper:.1f}", f"{width:.1f}", f"{max(0.5, lower - upper):.1f}",
                    day.day, f"{number:,}", kind,
                )
            )  # fmt: skip
            below += number
    return Markup("").join(pieces)


def _svg(shape: Markup, title: str, summary: str, top: int, first: str, last: str) -> Markup:
    base, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    frame = Markup(
        '<line class="axis" x1="{0}" y1="{1}" x2="{2}" y2="{1}"/><text x="{3}" y="{4}" text-anchor="end">{5}</text>'
        '<text x="{3}" y="{1}" text-anchor="end">0</text><text x="{0}" y="{6}">{7}</text>'
        '<text x="{2}" y="{6}" text-anchor="end">{8}</text>'
    ).format(_LEFT, base, right, _LEFT - 6, _TOP + 8, f"{top:,}", _HEIGHT - 6, first, "" if last == first else last)
    return Markup(
        '<figure><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg><figcaption>{}</figcaption></figure>'
    ).format(_WIDTH, _HEIGHT, summary, frame, shape, escape(title))


def _x(offset: int, span: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * offset / span


def _y(value: int, top: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / max(1, top)
