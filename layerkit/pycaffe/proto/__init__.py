"""Caffe's protobuf messages."""
