"""`decloud layout list` and `decloud layout show`."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from decloud_lib import storage
from decloud_lib.acquisitions import load_layout, shipped_layouts
from decloud_lib.acquisitions.timeline import draw_timeline
from decloud_lib.cli import main

BLUE, GREEN, ORANGE = (0x3B, 0x78, 0xC3), (0x2F, 0x9E, 0x5F), (0xE8, 0xA7, 0x61)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def extent(image, colour):
    """First and last column of the drawing with a colour, above the legend."""
    near = (np.abs(image - colour).max(axis=2) < 6)[:-90]
    columns = np.flatnonzero(near.any(axis=0))
    return (int(columns[0]), int(columns[-1])) if len(columns) else None


def test_all_shipped_layouts_are_listed_in_a_line_each(capsys):
    assert main(["layout", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_layouts())
    (line,) = (line for line in lines if line.startswith("AL-CRGA-OS2-Burkina"))
    assert (
        line.split(maxsplit=1)[1]
        == "tm1 t target tp1             -42 ..  +42 days, S1 within 144 h"
    )
    assert main(["layout", "list", "--json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["layouts"]
    assert first["name"] == "AL-CRGA-OS1-Burkina"
    assert first["window_days"] == [-34, 34]


def test_a_layout_is_shown_as_a_table_without_picture(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["layout", "show", "AL-TEST-Meraner"]) == 0
    shown = capsys.readouterr().out
    assert load_layout("AL-TEST-Meraner").summary() in shown
    assert not list(tmp_path.iterdir())


def test_a_picture_is_drawn_and_another_one_is_not_replaced(bucket, capsys):
    uri = storage.join(bucket, "layout.png")
    own = storage.join(bucket, "own.json")
    storage.write_bytes(own, json.dumps(load_layout("AL-TEST").to_json()).encode())
    for _ in range(2):
        assert main(["layout", "show", own, "--plot", uri]) == 0
    assert f"picture: {uri}" in capsys.readouterr().out
    assert pixels(storage.read_bytes(uri)).shape[1] > 1000
    assert main(["layout", "show", "AL-TEST-Meraner", "--plot", uri]) == 2
    assert "another picture is there" in capsys.readouterr().err
    assert main(["layout", "show", "AL-TEST-Meraner", "--plot", uri, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["AL-NONE"], "AL-NONE: there is no such layout; expected a JSON file or one of AL-CRGA"),
        (["AL-TEST", "--plot", "x.jpg"], "expected a name that ends with .png"),
        (["s3.json"], "s3.json: there is no such layout"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["layout", "show", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_boxes_stand_where_the_windows_are():
    """t0..t5 follow each other; the target lies between t1 and t4; S1 reaches 72 h further."""
    image = pixels(draw_timeline(load_layout("AL-monthly-synthesis-6-images-s2-s1"), "x"))
    blue, green, orange = (extent(image, colour) for colour in (BLUE, GREEN, ORANGE))
    # The reference at 0 h is drawn 4.3 h wide.
    per_hour = (blue[1] - blue[0]) / 622
    assert green[0] - blue[0] == pytest.approx(102 * per_hour, abs=4)
    assert green[1] - blue[0] == pytest.approx(502 * per_hour, abs=4)
    assert blue[0] - orange[0] == pytest.approx(70 * per_hour, abs=4)
    assert orange[1] - blue[1] == pytest.approx(72 * per_hour, abs=4)


@pytest.mark.parametrize("name", shipped_layouts())
def test_each_shipped_layout_is_drawn(name):
    layout = load_layout(name)
    image = pixels(draw_timeline(layout, name))
    assert extent(image, GREEN)
    assert extent(image, ORANGE)
    assert draw_timeline(layout, name) == draw_timeline(layout, name)
