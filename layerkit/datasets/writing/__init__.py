"""Samples written in other formats, and their mean."""
