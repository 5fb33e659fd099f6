"""Plots of runs and of snapshots: what is in them, and how matplotlib or a terminal shows it.

Runs: record -> series.read(record) -> panels.arrange(runs) -> curves.draw(panels), or terminal.draw(panels).
Snapshots: net -> filters, histograms, activations, saliency, each of which fills a part of a figure; pages puts them
together. `style` alone knows what a figure looks like and how it becomes a file; equal inputs give equal bytes.
"""
