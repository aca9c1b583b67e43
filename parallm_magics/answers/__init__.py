"""From a raw answer to a value."""
