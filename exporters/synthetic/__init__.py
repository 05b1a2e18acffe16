"""GPUs that do not exist, for machines without one: demonstrations, dashboards, tests of what comes after the exporter.

They stand in for the sampling of NVML alone; collector, page and everything else are those of real GPUs.
"""
