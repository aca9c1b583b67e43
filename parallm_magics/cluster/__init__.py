"""A Dask cluster: which one is used, and what it takes to make calls on it."""
