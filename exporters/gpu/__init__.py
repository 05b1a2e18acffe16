"""GPU collector: reader, snapshot, renderer."""
