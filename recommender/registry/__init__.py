"""Agents: exporters that registered, and how long ago each was heard of.

What an agent says of itself is shown to people and counted. Nothing acts on it: Prometheus's targets come from the
inventory alone.
"""
