"""The performance table: `make bench`. This product beside the plain way, on the same machine and work, in one run."""
