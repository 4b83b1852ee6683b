"""The text table of a layout."""

from collections.abc import Iterable

from decloud_lib.acquisitions.sensing_layout import Acquisition, RandomInt

_COLUMN = 16


def summary_table(acquisitions: Iterable[Acquisition]) -> str:
    """Return a text table with a centred column of at least 16 characters per acquisition."""
    rows: list[list[str]] = [[], [], [], []]
    for acquisition in acquisitions:
        for row, text in zip(rows, _summary_cells(acquisition), strict=True):
            row.append(text)
    heads = ("", "S1", "S2", "")
    width = max(_COLUMN, 2 + max((len(text) for row in rows for text in row), default=0))
    lines = [
        f"{head:<4}" + "".join(text.center(width) for text in row)
        for head, row in zip(heads, rows, strict=True)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _summary_cells(acquisition: Acquisition) -> tuple[str, str, str, str]:
    window, cloud, gap = "/", "", "/"
    if acquisition.s1:
        orbit = {None: "", True: " ASC", False: " DES"}[acquisition.s1.ascending]
        hours = acquisition.max_s1s2_gap_hours
        gap = (f"+/-{hours:g}h" if acquisition.s2 else "in window") + orbit
    start, end = acquisition.window_hours
    if acquisition.s2:
        lowest = acquisition.s2.min_cloud_percent
        shown = f"{lowest.low}..{lowest.high}" if isinstance(lowest, RandomInt) else f"{lowest:g}"
        cloud = f"{shown}-{acquisition.s2.max_cloud_percent:g}%"
    if acquisition.s2 or not acquisition.is_origin:
        window = "origin" if acquisition.is_origin else f"[{start:.0f}h, {end:.0f}h]"
    return acquisition.name, gap, window, cloud
