"""Losses: a scalar to minimise, with its gradient."""
