"""The analysis as a pipeline: its page is what the user interface shows."""

from pathlib import Path

from decloud_lib import storage
from pipelines.compile import PIPELINES
from pipelines.local import run_local
from tests.prepared_tiles import Tile, season, write_tile


def test_the_page_is_an_html_artifact(s3: str, tmp_path: Path) -> None:
    written = write_tile(tmp_path / "prepared", Tile(*season()))
    storage.upload_folder(tmp_path / "prepared", f"{s3}/prepared")
    tiles, rois = (uri.replace(str(tmp_path), s3) for uri in written)
    for uri in (tiles, rois):
        text = storage.read_text(uri).replace(str(tmp_path), s3)
        storage.write_bytes(uri, text.encode())
    run = run_local(
        PIPELINES["analysis"],
        {
            "tiles": tiles,
            "rois": rois,
            "out": f"{s3}/analysis",
            "patchsize": 64,
            "layouts": ["AL-CRGA-OS2-Occitanie"],
            "layout": "AL-Meraner-Occitanie",
            "images_per_tile": 1,
            "min_samples": 50,
        },
        tmp_path / "runs",
    )
    assert all(task.ok for task in run.tasks)
    (page,) = (artifact for artifact in run.artifacts() if artifact.name == "page")
    shown = Path(page.uri).read_text()
    assert shown == storage.read_text(f"{s3}/analysis/report.html")
    assert shown.count("data:image/png;base64,") > 5
    assert page.metadata["source"] == f"{s3}/analysis/report.html"
