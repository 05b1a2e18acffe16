"""Coverage-guided fuzzing of what reads the texts of others. `python -m fuzz --help` runs it; findings become tests."""
