"""A simulated fleet and the story that `make demo` tells."""
