"""A provider that asks no model."""
