"""From the text of a cell to a plan."""
