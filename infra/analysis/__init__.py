"""The event log for analysts: followed, replayed, shown, exported and described."""
