"""Linear layers: matrix products."""
