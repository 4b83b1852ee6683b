from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decloud_lib import cli, storage
from decloud_lib.errors import ConfigError
from decloud_lib.stages.draw_records import DrawRecordsConfig, draw_records
from tests.records import write_records


def test_the_historic_command_draws_each_sample(
    tmp_path: Path, bucket: str, mlflow_store: str
) -> None:
    write_records(tmp_path / "samples/valid", n=7)
    storage.upload_folder(tmp_path / "samples", f"{bucket}/samples")
    words = f"draw-records --valid_records {bucket}/samples/valid --model linear_gap_filling "
    words += f"--outdir {bucket}/out --model_output_key s2_target -bv 3"
    assert cli.main(words.split()) == 0
    names = {entry.uri.rpartition("/")[2] for entry in storage.list_files(f"{bucket}/out")}
    kinds = ("s2_tm1", "s2_tp1", "target", "reconstructed")
    expected = {f"valid_{index}_{kind}.png" for index in range(7) for kind in kinds}
    assert names == expected | {"manifest.json"}
    with (
        storage.local_copy(f"{bucket}/out/valid_6_target.png") as target,
        storage.local_copy(f"{bucket}/out/valid_6_reconstructed.png") as estimate,
    ):
        pictures = [np.asarray(Image.open(path)).astype(float) for path in (target, estimate)]
    assert pictures[0].shape == (64, 64, 3)
    # Noise of 60 DN is 7 grey levels.
    assert 3.0 < np.std(pictures[0] - pictures[1]) < 11.0
    assert cli.main(words.split()) == 0


def test_single_files_and_a_limit(tmp_path: Path, mlflow_store: str) -> None:
    records = write_records(tmp_path / "valid", n=12)  # files of 5, 5 and 2
    files = sorted(str(path) for path in records.glob("*.records"))
    result = draw_records(
        DrawRecordsConfig(
            valid_records=(files[2],), model="nearest_date", outdir=str(tmp_path / "one")
        )
    )
    assert (result.samples, result.pictures) == (2, 8)
    few = draw_records(
        DrawRecordsConfig(
            valid_records=(str(records),),
            model="nearest_date",
            outdir=str(tmp_path / "few"),
            limit=4,
            batch_size=3,
        )
    )
    assert few.samples == 4
    with pytest.raises(ConfigError, match=r"no 9.records there"):
        draw_records(
            DrawRecordsConfig(
                valid_records=(str(records / "9.records"),), model="nearest_date", outdir="x"
            )
        )


def test_what_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    records = (str(write_records(tmp_path / "valid", n=1)),)
    with pytest.raises(ConfigError, match="one of the two"):
        draw_records(DrawRecordsConfig(valid_records=records, outdir="x"))
    with pytest.raises(ConfigError, match="crga_os2_gapfilling gives s2_target"):
        draw_records(
            DrawRecordsConfig(
                valid_records=records,
                model="linear_gap_filling",
                model_output_key="s2_20m_target",
                outdir="x",
            )
        )
    with pytest.raises(ConfigError, match="has weights: give its model folder"):
        draw_records(DrawRecordsConfig(valid_records=records, model="crga_os2_david", outdir="x"))
