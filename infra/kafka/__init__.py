"""Kafka itself: clients, our two topics, and the tickets. Not what the relay does with them."""
