"""Audiences: a rule, checked, said in words, counted, and its members kept fresh."""
