"""From prepared tiles to drawn samples and their patches; the stage `sample` writes them."""
