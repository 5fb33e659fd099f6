"""Metrics: what a test reports; nothing trains through them."""
