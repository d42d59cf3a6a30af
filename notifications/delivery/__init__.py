"""From a planned message to one whose end is known, or of which it is known that nobody knows.

claim.py    some whose time has come, fairly between organisations and campaigns; asked again whether they may go; claimed, and committed
sending.py  composed, asked for once more, handed to the wire at the governor's instants
record.py   what became of them; guarded by the claim
sweep.py    what was left behind: claims of the dead, cancelled ones, finished runs, campaigns of which too much fails
"""
