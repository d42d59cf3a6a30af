"""Findings of cdk-nag that stay, each with its reason. At most 25 in an environment: the checks count them and print the list.

A finding is named by the construct it is about, below its stack, and by its exact id; `{}` stands for the environment, `<region>` for its region.
"""

from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

from deploy.environments import Environment

_HERE: Final = "<AWS::Region>:<AWS::AccountId>"
_ARN: Final = "arn:<AWS::Partition>"
_UPLOADS: Final = "IAM5[Resource::Atrium-{}-data:ExportsOutputFnGetAttUploads4F6EB0FDArn5513CBEA/organisations/*]"
_BY_HAND: Final = "Nothing can turn it by itself: it is issued elsewhere, and put in by hand as the runbook says."


def _of_a_reader(number: int) -> tuple[tuple[str, str, str], ...]:
    return (
        (f"data/Reader{number}", "RDS2", "A reader is encrypted as its writer is; CloudFormation does not take the property beside its source."),
        (f"data/Reader{number}", "RDS3", "A reader holds nothing of its own: it is made anew where its zone is lost. What it holds is the writer's."),
        (f"data/Reader{number}", "RDS11", "It listens on the writer's port, which is not PostgreSQL's; the rule cannot see which engine a reader has."),
    )


# The stack and the construct, the finding, the reason.
REASONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("foundation/AccessLogs", "S1", "It is the bucket of access logs: logging its own accesses would never end."),
    ("edge/Logs", "S1", "It is the bucket of access logs: logging its own accesses would never end."),
    ("data/Watcher", f"IAM4[Policy::{_ARN}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole]", "Of RDS alone, and it names RDS's own log group."),
    (
        "data/Plan/Selection/Role",
        f"IAM4[Policy::{_ARN}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup]",
        "Of AWS Backup alone; it follows the service.",
    ),
    ("data/Database/Secret", "SMG4", "Used by people at the first deployment. Machines enter by tokens of their role, which live for 15 minutes."),
    ("data/Database", "RDS3", "Only dev has its database in one zone; the other environments refuse to."),
    ("data/Database", "RDS10", "Only dev can be deleted with its database; a last snapshot stays."),
    *(each for number in range(1, 6) for each in _of_a_reader(number)),
    ("app/Secret", "SMG4", "A new SECRET_KEY ends every session: it is turned by hand, with a release."),
    ("observe/SlackSecret", "SMG4", _BY_HAND),
    (
        "app/MachinesMayManaged",
        "IAM5[Resource::*]",
        "Session Manager's channels, figures of one namespace, the mail account's limits: they know no narrower resource.",
    ),
    (
        "app/MachinesMayManaged",
        f"IAM5[Resource::{_ARN}:autoscaling:{_HERE}:autoScalingGroup:*:autoScalingGroupName/atrium-{{}}-*]",
        "The star stands for an id that a group is given when it is made; the name is the environment's.",
    ),
    ("app/MachinesMayReads", f"IAM5[Resource::{_ARN}:ssm:{_HERE}:parameter/atrium/{{}}/*]", "Every setting of this environment is read at each start."),
    (
        "app/MachinesMayReads",
        "IAM5[Resource::Atrium-{}-data:ExportsOutputFnGetAttArtifacts82DD59A1Arn3B515032/releases/*]",
        "Releases come and go; none of them is secret.",
    ),
    ("app/MachinesMayWorks", _UPLOADS, "Organisations come and go; which of them a machine works for is the application's to decide, and tested there."),
    ("app/Bastion/Machines", "AS3", "A bastion that comes or goes concerns nobody but who is on it."),
    ("bi/RoleMay", _UPLOADS, "A job reads every organisation's sealed days. It has no other rights."),
    (
        "access/DeploysMay",
        f"IAM5[Resource::{_ARN}:ec2:{_HERE}:instance/*]",
        "Machines come and go; tags of project and environment narrow it to ours, the document to migrating and draining.",
    ),
    ("access/DeploysMay", f"IAM5[Resource::{_ARN}:s3:::atrium-{{}}-artifacts-<AWS::AccountId>-<region>/releases/*]", "Each release has a name of its own."),
    ("access/DeploysMay", f"IAM5[Resource::{_ARN}:s3:::atrium-{{}}-static-<AWS::AccountId>-<region>/static/*]", "Each release has files of its own."),
    ("access/LooksMay", "IAM5[Resource::*]", "Looking only, named call by call; lists know no resource, and a condition keeps it to our regions."),
    ("observe/May-repair", "IAM5[Resource::*]", "Describing only, named call by call: lists know no resource."),
    ("observe/May-repair", f"IAM5[Resource::{_ARN}:ec2:{_HERE}:instance/*]", "Machines come and go; tags of project and environment narrow it to ours."),
    ("observe/May-repair", f"IAM5[Resource::{_ARN}:ec2:{_HERE}:volume/*]", "Disks come and go; tags of project and environment narrow it to ours."),
    (
        "observe/May-repair",
        f"IAM5[Resource::{_ARN}:autoscaling:{_HERE}:autoScalingGroup:*:autoScalingGroupName/atrium-{{}}-*]",
        "The star stands for an id that a group is given when it is made; the name is the environment's.",
    ),
    ("edge/Distribution", "CFR1", "Shoppers travel: an app on a phone must reach its mall from wherever it is."),
)
# Of the kit itself.
REMARKS: Final = (
    (
        "edge/Distribution/Origin2",
        "@aws-cdk/aws-cloudfront-origins:updateImportedBucketPolicyOac",
        "The bucket's own stack, in another region, already lets distributions of this account read it.",
    ),
)


def acknowledge(app: cdk.App, environment: Environment) -> None:
    for path, id, reason in REASONS:
        exact = id.replace("{}", environment.name).replace("<region>", environment.region)
        _acknowledge(app, environment.name, path, f"AwsSolutions::AwsSolutions-{exact}", reason)
    for path, id, reason in REMARKS:
        _acknowledge(app, environment.name, path, f"Annotation::{id}", reason)


def _acknowledge(app: cdk.App, environment: str, path: str, id: str, reason: str) -> None:
    stack, *names = path.split("/")
    found: IConstruct | None = app.node.try_find_child(f"Atrium-{environment}-{stack}")
    for name in names:
        found = found.node.try_find_child(name) if found else None
    if found:  # dev has no reader, qa no jobs
        cdk.Validations.of(found).acknowledge(cdk.Acknowledgment(id=id, reason=reason))
