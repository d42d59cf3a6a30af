"""What an organisation tells of its shoppers: their addresses and attributes, and what they agreed to."""
