"""The doors to the models."""
