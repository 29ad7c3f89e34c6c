"""Processes and connection files into kernels and servers."""
