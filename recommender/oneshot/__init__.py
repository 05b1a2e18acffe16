"""One diagnosis against any Prometheus: nothing of ours runs there, nothing is written, nothing is changed."""
