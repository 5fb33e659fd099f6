"""Layers that bring samples into a net."""
