"""Attention: each place of a sequence looks at the others."""
