"""The only place with sockets, files and the environment: a room for each server and concern.

Settings, connections to Postgres and what belongs to no room lie on top; no decisions lie here.
"""
