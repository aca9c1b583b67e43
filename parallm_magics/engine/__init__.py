"""From tasks to records."""
