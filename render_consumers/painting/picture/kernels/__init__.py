"""What warp compiles for the processor or for CUDA.

All of it is a minimum over integers or numbers, a count, or a sum in a fixed order, so the same
scene gives the same bytes however the work is scheduled. Types are warp's own (see pyproject.toml).
"""
