"""Layers that decide which layers run, and how often."""
