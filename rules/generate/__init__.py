"""What `optiinfra build rules` writes: the source rules, one module for each of their parts."""
