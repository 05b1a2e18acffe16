"""The exporter's flags, one file a subject.

A new subject is a file with a `GROUP`, a field of `ExporterSettings`, and two lines in `exporters.cli`.
"""
