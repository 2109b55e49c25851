"""The commands `atelier projections …`, for operators who look after read models."""
