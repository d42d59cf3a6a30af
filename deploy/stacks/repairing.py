"""The function that repairs by itself: its table of what was done, its switches, what calls it, and no more rights than its four repairs need."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from deploy import names
from deploy.stacks.alarming import alarm
from deploy.stacks.base import Stack, allowed
from deploy.stacks.data import Data, queue
from deploy.stacks.foundation import Foundation
from deploy.stacks.functions import function

STORAGE_EVENTS: Final = ("0007", "0089", "0222")
# Each of all machines or disks at once, every one with a state of its own: CloudWatch then says which one it is about.
WATCHED: Final = (
    ("disk-full", 'SELECT MAX(disk_used_percent) FROM "CWAgent" GROUP BY InstanceId', 85, 2, "The disk of a machine is more than 85 % full."),
    ("volume-busy", 'SELECT AVG(VolumeQueueLength) FROM SCHEMA("AWS/EBS", VolumeId) GROUP BY VolumeId', 10, 3, "A machine's disk cannot keep up."),
    (
        "machine-sick",
        'SELECT AVG(CPUUtilization) FROM SCHEMA("AWS/EC2", InstanceId) GROUP BY InstanceId',
        95,
        3,
        "A machine has done nothing but compute for 15 minutes.",
    ),
)


class Repairing(Construct):
    def __init__(self, stack: Stack, ground: Foundation, held: Data) -> None:
        super().__init__(stack, "Repairing")
        self.stack_of, self.ground, self.held = stack, ground, held
        self.table = dynamodb.Table(
            self,
            "Done",
            table_name=stack.named("atrium-{}-repairs"),
            partition_key=dynamodb.Attribute(name="repair", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="at", type=dynamodb.AttributeType.STRING),
            time_to_live_attribute="expires",
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=ground.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True),
            removal_policy=stack.kept,
        )
        self.switches = self._switches()
        self.dead = queue(stack, ground, "RepairDead", stack.named("atrium-{}-repair-dead"))
        self.made = self._function()
        self._alarms()
        self._event()

    def _switches(self) -> list[str]:
        """For people to turn: on, dry run, off. The first release of an installation repairs nothing: it says what it would do."""
        for name in names.REPAIRS:
            ssm.CfnParameter(self, f"Switch-{name}", name=self._switch(name), type="String", value="dry run", allowed_pattern="on|dry run|off")
        return [self.stack_of.here("ssm", f"parameter{self._switch(name)}") for name in names.REPAIRS]

    def _switch(self, name: str) -> str:
        return f"{self.stack_of.named(names.SWITCHES)}/{name}"

    def _function(self) -> functions.Function:
        stack = self.stack_of
        variables = {
            "TABLE": self.table.table_name,
            "TOPIC": self.ground.alerts.topic_arn,
            "SWITCHES": stack.named(names.SWITCHES),
            "GROUPS": stack.named(names.GROUP, role=""),
            "DATABASES": stack.named("atrium-{}"),
            "MOST_STORAGE_GB": str(2 * stack.settings.database.most_storage_gb),
        }
        return function(stack, self.ground, "repair", "Repairs what needs no person, one step at a time", self.dead, variables, self._rights(), at_once=1)

    def _rights(self) -> list[iam.PolicyStatement]:
        stack = self.stack_of
        ours = {"StringEquals": {"aws:ResourceTag/project": names.PROJECT, "aws:ResourceTag/environment": stack.settings.name}}
        document = f"arn:{cdk.Aws.PARTITION}:ssm:{cdk.Aws.REGION}::document/AWS-RunShellScript"
        looks = ("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeInstanceRefreshes")
        return [
            allowed("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query", "dynamodb:DeleteItem", on=[self.table.table_arn]),
            allowed("ssm:GetParameter", on=self.switches),
            allowed(*looks, "ec2:DescribeVolumes", "ec2:DescribeVolumesModifications", on=["*"]),
            allowed("ssm:SendCommand", on=[document]),
            allowed("ssm:SendCommand", on=[stack.here("ec2", "instance/*")], when=ours),
            allowed("ec2:ModifyVolume", on=[stack.here("ec2", "volume/*")], when=ours),
            allowed(
                "autoscaling:SetInstanceHealth", on=[stack.here("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{stack.named(names.GROUP, role='*')}")]
            ),
            allowed("rds:DescribeDBInstances", "rds:ModifyDBInstance", on=[self.held.database.instance_arn]),
            allowed("sns:Publish", on=[self.ground.alerts.topic_arn]),
        ]

    def _alarms(self) -> None:
        for name, question, limit, periods, means in WATCHED:
            asked = cloudwatch.MathExpression(expression=question, using_metrics={}, period=cdk.Duration.minutes(5), label=name)
            alarm(self.stack_of, self.ground.alerts, name, asked, limit, means, periods=periods).add_alarm_action(actions.LambdaAction(self.made))
        waiting = self.dead.metric_approximate_number_of_messages_visible(period=cdk.Duration.minutes(1), statistic="Maximum")
        alarm(self.stack_of, self.ground.alerts, "repair-dead-letters", waiting, 0, "A repair failed every time it was tried.", periods=1)

    def _event(self) -> None:
        rule = events.CfnRule(
            self,
            "Storage",
            description="Storage of the database: to the function that repairs",
            event_pattern={"source": ["aws.rds"], "detail": {"EventID": [f"RDS-EVENT-{number}" for number in STORAGE_EVENTS]}},
            targets=[events.CfnRule.TargetProperty(id="repair", arn=self.made.function_arn)],
        )
        self.made.add_permission("Storage", principal=iam.ServicePrincipal("events.amazonaws.com"), source_arn=rule.attr_arn)
