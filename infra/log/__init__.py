"""The event log in Postgres: appending, reading, keys, migrations. Not who follows it."""
