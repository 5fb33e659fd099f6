"""Caffe in and out."""
