"""Products as delivered and as prepared: their names, files and times; one module per family."""
