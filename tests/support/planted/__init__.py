"""The folder that is on the path of a run's processes. Nothing else may lie here."""
