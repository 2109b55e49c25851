"""Every command of the command line, and the table that names them.

Not the work that they start.
"""
