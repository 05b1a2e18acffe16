"""Recording and alert rules: sources, signals, bottlenecks."""
