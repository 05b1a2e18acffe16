"""What can keep the demo from starting."""


class DemoError(Exception):
    """A reason for a person: what is wrong and what to do."""
