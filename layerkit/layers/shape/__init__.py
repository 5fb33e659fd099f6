"""Layers that arrange, join, split and combine arrays."""
