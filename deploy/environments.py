"""The three environments, and what makes one wrong: a wrong one raises Refused and nothing is synthesised.

Refused
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Final

from deploy.names import CONNECTIONS_BESIDE, REFRESH_MOST, ROLES, Role

# What a database accepts, by its class: least(memory in bytes / 9531392, 5000), less what the system keeps for itself.
MOST_CONNECTIONS: Final = {"t4g.small": 225, "t4g.medium": 450, "t4g.large": 901, "m6g.large": 901, "m6g.xlarge": 1802, "r6g.xlarge": 3604}
SHARE: Final = 0.8  # of those connections is promised to machines; the rest is for what nobody foresaw
# Of a region: where its backups are copied to.
REGIONS: Final = {"af-south-1": "eu-west-1", "eu-west-1": "eu-central-1", "us-east-1": "us-west-2"}
BACKUP_DAYS: Final = 7


class Refused(Exception):
    """Its text is for whoever wrote the environment."""


@dataclass(frozen=True, kw_only=True)
class Machines:
    """A group of one role."""

    kind: str
    least: int
    most: int
    disk_gb: int = 20


@dataclass(frozen=True, kw_only=True)
class Database:
    kind: str
    storage_gb: int
    most_storage_gb: int
    multi_az: bool
    readers: int
    backup_days: int
    managed_password: bool = False  # RDS keeps the master's password itself: does not go with readers


@dataclass(frozen=True, kw_only=True)
class Environment:
    name: str
    region: str
    network: str  # the range of its VPC
    gateways: int  # to the internet, of the application's subnets
    endpoints: bool  # services of AWS reached inside the network
    protected: bool  # what holds data cannot be deleted by a slip
    database: Database
    machines: dict[str, Machines]
    log_days: int
    backup_days: int
    copies_days: int = 0  # of backups in another region; 0: no copies
    bastion_from: str = ""  # a classic bastion for this range of addresses; empty: Session Manager alone
    bi: bool = False

    @property
    def copies_region(self) -> str:
        return REGIONS[self.region] if self.copies_days else ""

    @property
    def connections(self) -> int:
        """That its machines may hold at most, all at once, also in the middle of a release."""
        return sum(_at_once(self.machines[role.name].most, role) * role.connections for role in ROLES) + CONNECTIONS_BESIDE


def _at_once(machines: int, role: Role) -> int:
    """New machines stand beside the old ones before those go; of a role of one, the old one goes first."""
    return machines if role.only_one else -(-machines * REFRESH_MOST // 100)


# Ranges that belong to others: a hybrid network must be able to reach both sides.
ON_PREMISES: Final = ("10.0.0.0/12", "192.168.0.0/16")

_OTHERS: Final = "networks on premises"

DEV: Final = Environment(
    name="dev",
    region="af-south-1",
    network="10.64.0.0/16",
    gateways=1,
    endpoints=False,
    protected=False,
    database=Database(kind="t4g.small", storage_gb=20, most_storage_gb=100, multi_az=False, readers=0, backup_days=7),
    machines={role.name: Machines(kind="t3.small", least=1, most=1) for role in ROLES},
    log_days=30,
    backup_days=7,
)
QA: Final = Environment(
    name="qa",
    region="af-south-1",
    network="10.65.0.0/16",
    gateways=2,
    endpoints=True,
    protected=True,
    database=Database(kind="t4g.medium", storage_gb=50, most_storage_gb=200, multi_az=True, readers=1, backup_days=7),
    machines={role.name: Machines(kind="t3.medium", least=1 if role.only_one else 2, most=1 if role.only_one else 3) for role in ROLES},
    log_days=30,
    backup_days=14,
    copies_days=14,
)
PROD: Final = Environment(
    name="prod",
    region="af-south-1",
    network="10.66.0.0/16",
    gateways=2,
    endpoints=True,
    protected=True,
    database=Database(kind="m6g.large", storage_gb=200, most_storage_gb=2000, multi_az=True, readers=1, backup_days=14),
    machines={
        "web": Machines(kind="m5.large", least=2, most=8),
        "door": Machines(kind="m5.large", least=2, most=8),
        "stream": Machines(kind="m5.large", least=2, most=6, disk_gb=30),
        "worker": Machines(kind="m5.large", least=2, most=6, disk_gb=30),
        "scheduler": Machines(kind="t3.medium", least=1, most=1),
    },
    log_days=90,
    backup_days=35,
    copies_days=35,
    bi=True,
)
ALL: Final = (DEV, QA, PROD)


def check(environments: tuple[Environment, ...], on_premises: tuple[str, ...] = ON_PREMISES) -> None:
    """Raises Refused with every fault found, one a line."""
    faults = [fault for environment in environments for fault in faults_of(environment)]
    faults += overlaps([*((environment.name, environment.network) for environment in environments), *((_OTHERS, each) for each in on_premises)])
    names = [environment.name for environment in environments]
    faults += [f"{name}: there are two of this name." for name in sorted(set(names)) if names.count(name) > 1]
    if faults:
        raise Refused("\n".join(faults))


def overlaps(networks: list[tuple[str, str]]) -> Iterator[str]:
    ranges = [(name, ip_network(network)) for name, network in networks if _is_network(network)]
    for number, (name, network) in enumerate(ranges):
        for other, neighbour in ranges[number + 1 :]:
            if network.overlaps(neighbour) and name != _OTHERS:
                yield f"{name}: its range {network} overlaps {neighbour} of {other}. Give each its own."


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def faults_of(environment: Environment) -> Iterator[str]:
    for fault in (*_of_the_network(environment), *_of_the_database(environment), *_of_the_machines(environment), *_of_production(environment)):
        yield f"{environment.name}: {fault}"


def _of_the_network(environment: Environment) -> Iterator[str]:
    if environment.region not in REGIONS:
        yield f"the region {environment.region!r} is not in the table of regions. Add it, with where its backups are copied to."
    network = ip_network(environment.network) if _is_network(environment.network) else None
    if not isinstance(network, IPv4Network) or network.prefixlen != 16 or not network.is_private:
        yield f"the range {environment.network!r} is no private range of /16."
    if environment.gateways not in (1, 2):
        yield "there are two zones: give 1 or 2 gateways."
    bastion = environment.bastion_from
    if bastion and (not _is_network(bastion) or ip_network(bastion).prefixlen < 24):
        yield f"the bastion would be open to {bastion!r}. Give the range of your office, of /24 or narrower."


def _of_the_database(environment: Environment) -> Iterator[str]:
    database = environment.database
    if database.kind not in MOST_CONNECTIONS:
        yield f"how many connections a {database.kind} accepts is not in the table. Add it."
    elif environment.connections > SHARE * MOST_CONNECTIONS[database.kind]:
        room = int(SHARE * MOST_CONNECTIONS[database.kind])
        yield f"machines may hold {environment.connections} connections; a {database.kind} has room for {room}. Take fewer machines or a larger database."
    if database.readers and database.managed_password:
        yield "a password that RDS manages does not go with readers. Leave one of them out."
    if database.backup_days < BACKUP_DAYS or environment.backup_days < BACKUP_DAYS:
        yield f"backups are kept for {min(database.backup_days, environment.backup_days)} days. Keep them for at least {BACKUP_DAYS}."
    if database.most_storage_gb < 1.1 * database.storage_gb:
        yield "its storage has no room to grow. Let it grow by a tenth at least."


def _of_the_machines(environment: Environment) -> Iterator[str]:
    roles = {role.name: role for role in ROLES}
    for name in sorted(roles.keys() ^ environment.machines.keys()):
        yield f"{name} is {'missing among its machines' if name in roles else 'no role of a machine'}."
    for name, machines in environment.machines.items():
        if name in roles and roles[name].only_one and (machines.least, machines.most) != (1, 1):
            yield f"of {name} there is exactly one."
        if not 1 <= machines.least <= machines.most:
            yield f"{name} has at least {machines.least} and at most {machines.most} machines. Give 1 or more, and no more at least than at most."


def _of_production(environment: Environment) -> Iterator[str]:
    """What only a place to try things out may do without."""
    if environment.name == "dev":
        return
    if not environment.database.multi_az:
        yield "its database must be in two zones."
    if not environment.protected:
        yield "what holds data must be protected against deletion."
    if environment.gateways < 2:
        yield "one gateway would take the other zone down with its own. Give 2."
    for role in ROLES:
        machines = environment.machines.get(role.name)
        if machines and not role.only_one and machines.least < 2:
            yield f"one machine of {role.name} cannot outlive its zone. Give 2 at least."
