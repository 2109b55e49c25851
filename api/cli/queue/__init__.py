"""The commands `atelier queue …`: for operators who look after the queue and its tasks.

Not the queue itself, which is a read model.
"""
