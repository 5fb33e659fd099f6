"""Nets of other frameworks become layerkit's, and layerkit's nets become theirs."""
