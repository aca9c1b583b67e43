"""The notebook edge: magics, waiting, the live table."""
