"""The HTTP face: parses, calls, renders. Nothing below imports it."""
