"""A cell as a plain program."""
