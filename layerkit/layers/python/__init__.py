"""The layer that runs a user's class written for pycaffe."""
