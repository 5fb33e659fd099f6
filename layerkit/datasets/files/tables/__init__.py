"""Tables in text files: how they are laid out, what their columns mean, and their values as arrays."""

from __future__ import annotations
