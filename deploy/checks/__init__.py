"""What can be proven of the templates without an account: `python -m deploy.checks`."""
