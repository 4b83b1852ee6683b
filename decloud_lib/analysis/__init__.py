"""What prepared tiles and sample folders hold: counts, maps, histograms, statistics, one page."""
