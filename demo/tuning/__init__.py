"""The simulated fleet as a thing to be tuned: what a configuration is worth, and where plan after plan leads."""
