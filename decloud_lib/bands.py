"""Names, order, scale and no data of the bands: the only place that knows positions.

Sources: Sentinel-2 band names and native resolutions are ESA's; the two stack orders, the no-data
values and the scales are those of the existing Decloud files and published models (docs/data.md).
"""

S1_BANDS = ("VV", "VH")
S2_10M_BANDS = ("B2", "B3", "B4", "B8")
S2_20M_BANDS = ("B5", "B6", "B7", "B8A", "B11", "B12")
#: Order of the 20 m stack *as the existing system prepares it* (text sort of the file names).
S2_20M_STACK_BANDS = ("B11", "B12", "B5", "B6", "B7", "B8A")
CLOUD_BANDS = ("CLM",)
DEM_BANDS = ("DEM",)

S1_NODATA = 0
S2_NODATA = -10000
DEM_NODATA = -32768

#: Factors that turn stored integers into network inputs of about 0..1.
S1_SCALE = 1.0 / 65535.0
S2_SCALE = 1.0 / 10000.0
DEM_SCALE = 1.0 / 10000.0

#: Side of the elementary patch that statistics are counted on, in 10 m pixels.
ELEMENTARY_PATCH_PX = 64
