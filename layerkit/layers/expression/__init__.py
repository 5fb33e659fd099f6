"""Layers that are written as formulas in the YAML file."""
