"""What a machine may do: its role, statement by statement. Where a service knows no narrower resource, a condition narrows it."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_logs import LogGroup

from deploy import names
from deploy.parameters import parameter
from deploy.stacks.base import Stack, allowed
from deploy.stacks.data import Data
from deploy.stacks.foundation import Foundation


def role(stack: Stack, ground: Foundation, held: Data, logs: list[LogGroup]) -> iam.Role:
    made = iam.Role(stack, "MachinesRole", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"), description="The machines of Atrium")
    groups = [_managed(stack, logs), _reads(stack, ground, held), _works(stack, held), _mails(stack)]
    for name, statements in zip(("Managed", "Reads", "Works", "Mails"), groups, strict=True):
        iam.Policy(stack, f"MachinesMay{name}", roles=[made], statements=statements)
    return made


def _managed(stack: Stack, logs: list[LogGroup]) -> list[iam.PolicyStatement]:
    """Session Manager, the agent's logs and figures. Its channels, and how fast the account may send mail, know no resources."""
    channels = ("Create", "Open")
    return [
        allowed(
            "ssm:UpdateInstanceInformation",
            *(f"ssmmessages:{verb}{kind}Channel" for verb in channels for kind in ("Control", "Data")),
            *(f"ec2messages:{verb}" for verb in ("AcknowledgeMessage", "DeleteMessage", "FailMessage", "GetEndpoint", "GetMessages", "SendReply")),
            on=["*"],
        ),
        allowed("ses:GetAccount", "ses:GetSendQuota", on=["*"]),
        allowed("cloudwatch:PutMetricData", on=["*"], when={"StringEquals": {"cloudwatch:namespace": [names.METRICS, "CWAgent"]}}),
        allowed(
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "logs:DescribeLogStreams",
            on=[group.log_group_arn for group in logs],
        ),
        allowed(
            "autoscaling:CompleteLifecycleAction",
            "autoscaling:RecordLifecycleActionHeartbeat",
            on=[stack.here("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{stack.named(names.GROUP, role='*')}")],
        ),
    ]


def _reads(stack: Stack, ground: Foundation, held: Data) -> list[iam.PolicyStatement]:
    """Its release, its settings and its secret; and the key that all of it is under."""
    path = stack.named(names.PARAMETERS_PATH)
    return [
        allowed("s3:GetObject", on=[held.artifacts.arn_for_objects(f"{names.RELEASES}/*")]),
        allowed("ssm:GetParametersByPath", "ssm:GetParameters", on=[stack.here("ssm", f"parameter{path}"), stack.here("ssm", f"parameter{path}/*")]),
        allowed("secretsmanager:GetSecretValue", on=[stack.here("secretsmanager", f"secret:{stack.named(names.SECRET)}-??????")]),
        allowed("kms:Decrypt", "kms:GenerateDataKey", on=[ground.key.key_arn]),
    ]


def _works(stack: Stack, held: Data) -> list[iam.PolicyStatement]:
    queues: list[sqs.Queue] = list(held.queues.values())
    databases = [held.database.instance_resource_id or "", *(_resource_id(reader) for reader in held.readers)]
    return [
        allowed("rds-db:connect", on=[stack.here("rds-db", f"dbuser:{each}/{names.DATABASE_ROLE}") for each in databases]),
        allowed(
            "sqs:SendMessage",
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            on=[queue.queue_arn for queue in queues],
        ),
        allowed("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", on=[held.uploads.arn_for_objects("organisations/*")]),
        allowed("s3:ListBucket", on=[held.uploads.bucket_arn], when={"StringLike": {"s3:prefix": ["organisations/*"]}}),
        allowed(
            "elasticfilesystem:ClientMount",
            "elasticfilesystem:ClientWrite",
            on=[held.files.file_system_arn],
            when={
                "StringEquals": {"elasticfilesystem:AccessPointArn": held.files_entry.access_point_arn},
                "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
            },
        ),
    ]


def _resource_id(reader: object) -> str:
    return reader.node.default_child.attr_dbi_resource_id


def _mails(stack: Stack) -> list[iam.PolicyStatement]:
    """By the API and the role: SMTP would need a user with a key."""
    return [
        allowed(
            "ses:SendEmail",
            "ses:SendRawEmail",
            on=[stack.here("ses", f"identity/{parameter(stack, 'Domain')}"), stack.here("ses", f"configuration-set/{stack.named('atrium-{}')}")],
            when={"StringEquals": {"aws:ResourceAccount": cdk.Aws.ACCOUNT_ID}},
        ),
    ]
