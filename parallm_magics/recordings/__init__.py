"""Outcomes kept in a file, so that the same request need not be asked again."""
