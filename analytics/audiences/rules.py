"""A rule: read from JSON, described as a schema, said in words. Pure. What it is made of is in `tree`."""

from analytics.audiences.parsing import parse
from analytics.audiences.schema import RULE
from analytics.audiences.tree import Fault, Names, Place, Rule, children, leaves
from analytics.audiences.words import words

__all__ = ["RULE", "Fault", "Names", "Place", "Rule", "children", "leaves", "parse", "words"]
