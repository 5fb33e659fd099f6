"""Layers of object detectors: SSD's prior boxes, loss and output, and Faster R-CNN's proposals."""
