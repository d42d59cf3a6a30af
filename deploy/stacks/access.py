"""Who may do what in the account, without users and without keys: deploy (from the repository's own runs), run the database, look."""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy import names
from deploy.parameters import parameter
from deploy.stacks.base import Stack, allowed
from deploy.stacks.foundation import Foundation

ISSUER: Final = "token.actions.githubusercontent.com"
# Named one by one: what is written with a star grows with every service that AWS adds.
LOOKING: Final = (
    *(f"autoscaling:Describe{what}" for what in ("AutoScalingGroups", "InstanceRefreshes", "ScalingActivities")),
    *(f"cloudformation:Describe{what}" for what in ("Stacks", "StackEvents")),
    *(f"cloudwatch:{what}" for what in ("DescribeAlarms", "DescribeAlarmHistory", "GetDashboard", "GetMetricData", "ListDashboards", "ListMetrics")),
    *(f"ec2:Describe{what}" for what in ("Instances", "SecurityGroups", "Subnets", "Volumes", "Vpcs")),
    *(f"elasticloadbalancing:Describe{what}" for what in ("LoadBalancers", "TargetGroups", "TargetHealth")),
    *(f"rds:Describe{what}" for what in ("DBInstances", "DBSnapshots", "Events")),
    *(
        "backup:ListBackupJobs",
        "backup:ListRecoveryPointsByBackupVault",
        "logs:DescribeLogGroups",
        "ses:GetAccount",
        "sns:ListTopics",
        "sqs:ListQueues",
        "ssm:GetCommandInvocation",
    ),
)


class Access(Stack):
    def __init__(self, scope: Construct, id: str, *, ground: Foundation, **given: Any) -> None:
        super().__init__(scope, id, **given)
        self.ground = ground
        self._looks(self._deploys())
        self._runs_the_database()

    def _deploys(self) -> iam.Role:
        """A run of the repository, for this environment alone; what it may change is what the roles of the Cloud Development Kit may."""
        issuer = iam.CfnOIDCProvider(self, "Runs", url=f"https://{ISSUER}", client_id_list=["sts.amazonaws.com"])
        about = f"repo:{parameter(self, 'Repository')}:environment:{self.settings.name}"
        run = iam.WebIdentityPrincipal(issuer.attr_arn, {"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": about}})
        role = iam.Role(self, "Deploys", role_name=self.named("atrium-{}-deploys"), assumed_by=run, max_session_duration=cdk.Duration.hours(1))
        artifacts, static = (f"arn:{cdk.Aws.PARTITION}:s3:::{self.bucket_name(name)}" for name in ("artifacts", "static"))
        documents = [self.here("ssm", f"document/{self.named(name)}") for name in names.DOCUMENTS.values()]
        machines = {"StringEquals": {"aws:ResourceTag/environment": self.settings.name, "aws:ResourceTag/project": names.PROJECT}}
        kit = [
            f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:role/cdk-hnb659fds-{kind}-role-{cdk.Aws.ACCOUNT_ID}-{region}"
            for kind in ("deploy", "file-publishing", "lookup")
            for region in self._regions()
        ]
        statements = [
            allowed("sts:AssumeRole", on=kit),
            allowed("s3:PutObject", on=[f"{artifacts}/{names.RELEASES}/*", f"{static}/static/*"]),
            allowed("s3:ListBucket", on=[static]),
            allowed("kms:Decrypt", "kms:GenerateDataKey", on=[self.ground.key.key_arn]),
            allowed("ssm:SendCommand", on=documents),
            allowed("ssm:SendCommand", on=[self.here("ec2", "instance/*")], when=machines),
        ]
        iam.Policy(self, "DeploysMay", roles=[role], statements=statements)
        return role

    def _regions(self) -> list[str]:
        return [region for region in (self.settings.region, "us-east-1", self.settings.copies_region) if region]

    def _looks(self, deploys: iam.Role) -> None:
        """People, and the run that waits for what it began."""
        role = iam.Role(self, "Looks", role_name=self.named("atrium-{}-looks"), assumed_by=_people())
        iam.Policy(
            self, "LooksMay", roles=[role, deploys], statements=[allowed(*LOOKING, on=["*"], when={"StringEquals": {"aws:RequestedRegion": self._regions()}})]
        )

    def _runs_the_database(self) -> None:
        """Backups, restores, parameters and a way in; never the machines, the network or the rights of others."""
        role = iam.Role(self, "RunsTheDatabase", role_name=self.named("atrium-{}-database"), assumed_by=_people())
        name = self.named("atrium-{}")
        mine = [self.here("rds", f"db:{name}"), *(self.here("rds", f"db:{name}-reader-{number + 1}") for number in range(self.settings.database.readers))]
        statements = [
            allowed("rds:ModifyDBInstance", "rds:RebootDBInstance", on=mine),
            allowed("secretsmanager:GetSecretValue", on=[self.here("secretsmanager", f"secret:{self.named('atrium-{}-database')}-??????")]),
            allowed("backup:StartRestoreJob", "backup:StartBackupJob", on=[self.here("backup", f"backup-vault:{self.named(names.VAULT)}")]),
        ]
        iam.Policy(self, "RunsTheDatabaseMay", roles=[role], statements=statements)


def _people() -> iam.IPrincipal:
    """Of this account, with a second factor."""
    return iam.AccountRootPrincipal().with_conditions({"Bool": {"aws:MultiFactorAuthPresent": "true"}})
