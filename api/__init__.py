"""How people reach Atelier: over HTTP and on the command line.

The application, its server and what its handlers work with lie on top; decisions lie in `commands`.
"""
