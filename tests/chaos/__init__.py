"""`make chaos`: everything that Atelier runs on is killed and frozen at random, under load.

Afterwards the log, Kafka and the media store must agree, and each task must have ended once.
"""
