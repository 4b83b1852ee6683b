"""TensorBoard logs."""

from pathlib import Path

import pytest

from decloud_lib.errors import StorageError
from decloud_lib.models.boards import open_board


def test_logs_that_cannot_be_written_are_told_with_their_folder(tmp_path: Path) -> None:
    (tmp_path / "boards").write_text("a file where a folder is expected", encoding="utf-8")
    said = r"boards: the TensorBoard logs cannot be written \(.*[Nn]ot a directory.*\); check disk"
    with pytest.raises(StorageError, match=said), open_board(str(tmp_path / "boards")) as board:
        board.scalars("valid", {"loss": 1.0}, 1)
