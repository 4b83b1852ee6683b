"""Rasters on disk or in a bucket: the only package that imports rasterio (with `synthetic`)."""
