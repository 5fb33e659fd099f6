"""Recurrent layers: sequences, one step after the other."""
