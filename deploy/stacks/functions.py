"""A function of AWS, made the same way everywhere."""

from pathlib import Path
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_sqs as sqs

from deploy.functions import bundle
from deploy.stacks.base import Stack, allowed
from deploy.stacks.foundation import Foundation, log_group

RUNTIME: Final = functions.Runtime.PYTHON_3_14


def function(
    stack: Stack,
    ground: Foundation,
    name: str,
    description: str,
    dead: sqs.Queue,
    variables: dict[str, str],
    may: list[iam.PolicyStatement],
    *,
    at_once: int | None = None,
) -> functions.Function:
    """A function of deploy/functions/<name>, with a role and a log of its own; what it could not do waits in `dead`."""
    written = log_group(stack, ground, f"Log-{name}", name)
    role = iam.Role(stack, f"Role-{name}", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    logs = allowed("logs:CreateLogStream", "logs:PutLogEvents", on=[written.log_group_arn])
    key = allowed("kms:Decrypt", "kms:GenerateDataKey", on=[ground.key.key_arn])
    rights = iam.Policy(stack, f"May-{name}", roles=[role], statements=[logs, key, *may])
    made = functions.Function(
        stack,
        f"Function-{name}",
        function_name=stack.named("atrium-{}-" + name),
        description=description,
        runtime=RUNTIME,
        handler="handler.handle",
        code=functions.Code.from_asset(bundle(name, Path(cdk.Stage.of(stack).outdir) / ".functions")),
        memory_size=256,
        timeout=cdk.Duration.seconds(60),
        role=role,
        environment=variables,
        environment_encryption=ground.key,
        dead_letter_queue=dead,
        log_group=written,
        reserved_concurrent_executions=at_once,
    )
    made.node.add_dependency(rights)
    return made
