"""The layers, by family: one folder a family, one layer a file."""
