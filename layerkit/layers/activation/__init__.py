"""Activations: functions of each value, and softmax."""
