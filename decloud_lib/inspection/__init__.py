"""What a path holds: facts of a product or raster in words, and a picture of it."""
