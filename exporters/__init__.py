"""Exporters: GPU, host and inference metrics in one vocabulary."""

__version__ = "0.1.0"
