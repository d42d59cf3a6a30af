"""What can go wrong with backups, each as one sentence for a person.

Trouble
├── Busy       another backup, verification or restore is under way
├── Broken     a backup is not what its manifest says
└── Refused    a restore that would do harm, and what to say if it is wanted all the same
"""


class Trouble(Exception):
    """Holds no address with a password, and no name of a shopper."""


class Busy(Trouble):
    pass


class Broken(Trouble):
    pass


class Refused(Trouble):
    pass
