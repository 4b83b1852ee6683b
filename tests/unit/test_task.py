from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decloud_lib import storage, task
from decloud_lib.manifest import Skipped


@dataclass
class Page:
    """An output artifact, as far as it is used."""

    path: str
    uri: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return Path(self.path).read_text()


def test_rebuilt_images_are_shown_with_what_was_left_out(bucket: str, tmp_path: Path) -> None:
    images = [f"{bucket}/a<b>.tif", *(f"{bucket}/{number}.tif" for number in range(13))]
    for uri in images[1:]:
        storage.write_bytes(uri.replace(".tif", ".png"), b"picture")
    page = Page(str(tmp_path / "made/page"))
    task.write_pictures(page, images, [Skipped(item="PRODUCT", reason="no date before")])
    # The first has no quicklook, and of the others eleven make up the dozen.
    assert page.text.count("data:image/png;base64,cGljdHVyZQ==") == 11
    assert page.text.count("<figcaption>") == 14
    assert "a&lt;b&gt;.tif" in page.text
    assert "<h1>Rebuilt: 14</h1>" in page.text
    assert "<h2>Left out: 1</h2>" in page.text
    assert "<td>PRODUCT</td><td>no date before</td>" in page.text


def test_a_preparation_without_faults_says_so(bucket: str, tmp_path: Path) -> None:
    page = Page(str(tmp_path / "page"))
    assert task.write_quarantine(page, bucket) == 0
    assert "<h1>All were prepared</h1>" in page.text
    assert page.metadata == {"quarantined": 0}
