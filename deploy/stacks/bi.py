"""Optional: jobs over the lake of sealed days, on EMR Serverless. It stops by itself, and has an upper end."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_emrserverless as emr
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.stacks.base import Stack, allowed
from deploy.stacks.data import Data
from deploy.stacks.foundation import Foundation, log_group


class Bi(Stack):
    def __init__(self, scope: Construct, id: str, *, ground: Foundation, held: Data, **given: Any) -> None:
        super().__init__(scope, id, **given)
        kind = emr.CfnApplication
        emr.CfnApplication(
            self,
            "Application",
            name=self.named("atrium-{}"),
            type="SPARK",
            release_label="emr-7.5.0",
            auto_start_configuration=kind.AutoStartConfigurationProperty(enabled=True),
            auto_stop_configuration=kind.AutoStopConfigurationProperty(enabled=True, idle_timeout_minutes=15),
            maximum_capacity=kind.MaximumAllowedResourcesProperty(cpu="32 vCPU", memory="128 GB", disk="400 GB"),
            network_configuration=kind.NetworkConfigurationProperty(
                subnet_ids=ground.network.select_subnets(subnet_group_name="app").subnet_ids, security_group_ids=[ground.machines.security_group_id]
            ),
        )
        jobs = log_group(self, ground, "Log", "bi")
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("emr-serverless.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}),
        )
        uploads = held.uploads
        statements = [
            allowed("s3:GetObject", "s3:PutObject", "s3:DeleteObject", on=[uploads.arn_for_objects("organisations/*")]),
            allowed("s3:ListBucket", on=[uploads.bucket_arn], when={"StringLike": {"s3:prefix": ["organisations/*"]}}),
            allowed("kms:Decrypt", "kms:GenerateDataKey", on=[ground.key.key_arn]),
            allowed("logs:CreateLogStream", "logs:PutLogEvents", on=[jobs.log_group_arn]),
        ]
        iam.Policy(self, "RoleMay", roles=[role], statements=statements)
        cdk.CfnOutput(self, "LogGroup", value=jobs.log_group_name)
