"""The servers that Atelier brings along for one machine: nothing to install or configure.

They stand in for PostgreSQL, Apache Kafka and an S3 server elsewhere, and speak their protocols.
"""

from infra.embedded.broker import EmbeddedBroker
from infra.embedded.media_server import EmbeddedMedia
from infra.embedded.postgres import EmbeddedPostgres
from infra.embedded.server import EmbeddedServer, ServerFailed

__all__ = ["EmbeddedBroker", "EmbeddedMedia", "EmbeddedPostgres", "EmbeddedServer", "ServerFailed"]
