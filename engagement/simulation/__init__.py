"""A mall that does not exist, its shoppers and their walks: pure, and the same again from the same seed."""
