"""Normalization layers: they bring values to a common size, and scale them anew."""
