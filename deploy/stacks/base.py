"""What every stack of an environment begins with."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy import names
from deploy.environments import Environment


class Stack(cdk.Stack):
    """`environment` says how large and how safe; `name` fills a name of deploy.names."""

    def __init__(self, scope: Construct, id: str, *, environment: Environment, **given: Any) -> None:
        super().__init__(scope, id, **given)
        self.settings = environment

    def named(self, name: str, /, **more: str) -> str:
        return names.of(name, self.settings.name, **more)

    def bucket_name(self, name: str) -> str:
        """The same from every stack and region, so that none needs to be told it by another."""
        return f"{self.named(names.BUCKETS[name])}-{cdk.Aws.ACCOUNT_ID}-{self.settings.region}"

    @property
    def kept(self) -> cdk.RemovalPolicy:
        return cdk.RemovalPolicy.RETAIN if self.settings.protected else cdk.RemovalPolicy.DESTROY

    def here(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"


def service(name: str) -> iam.ServicePrincipal:
    """AWS's own, and only for this account."""
    return iam.ServicePrincipal(name, conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}})


def allowed(*actions: str, on: list[str], when: dict[str, Any] | None = None, sid: str | None = None) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=on, conditions=when, sid=sid)
