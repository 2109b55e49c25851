"""One file for each resource of the contract: its handlers and its bodies.

Not what every request passes.
"""
