"""A change as people write it: in the engine's configuration, on its command line, in Helm values, in a compose file.

Values are quoted by the library of each format (YAML, shlex, JSON); nothing is put into a template. What is rendered is
for reading and pasting: executors write files themselves.
"""

from recommender.patches.render import PatchContext, render

__all__ = ["PatchContext", "render"]
