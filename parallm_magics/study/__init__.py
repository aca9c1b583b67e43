"""Votes on labelled items, measured."""
