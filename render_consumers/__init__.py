"""What the GPUs do: the loop around a render, the engines, and painting.

Nothing here is imported by the rest, which starts without torch.
"""
