"""Remove clouds from Sentinel-2 images with Sentinel-1, other dates and elevation."""

__version__ = "0.1.0"
