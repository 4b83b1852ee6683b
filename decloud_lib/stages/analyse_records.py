"""Show where the samples of record folders lie."""

from pydantic import Field

from decloud_lib.analysis.footprints import footprint_files, records_part
from decloud_lib.analysis.settings import OutputSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult


class AnalyseRecordsConfig(OutputSettings):
    """Settings of `analyse records`."""

    records: tuple[str, ...] = Field(
        min_length=1, description="Folders of records, as sample writes them."
    )
    crs: str | None = Field(
        default=None,
        description="Coordinate reference system of the map, EPSG:<code> or WKT; the UTM zone of "
        "the samples if not given.",
    )


def analyse_records(config: AnalyseRecordsConfig) -> AnalysisResult:
    """Count samples per footprint, as a map, a table and GeoJSON.

    Raises
    ------
    RecordError
        A folder without footprints.
    ConfigError
        No such CRS.
    OutputConflictError
        The output folder holds another analysis.
    """
    files = footprint_files(config.records)
    entries = tuple(entry for found in files.values() for entry in found)
    analysis = Analysis("analyse records", config, "Samples on the map", config.out, entries)
    return analysis.run(lambda: [records_part(files, config.crs)])
