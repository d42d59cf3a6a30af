"""What everything stands on: the key, the network, the bucket of access logs, and the topic that alarms go to."""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from deploy import names
from deploy.stacks.base import Stack, service

# An encrypted topic takes nothing from a service that may not use its key, and nobody is told: alarms would vanish. Without a condition on the account,
# which events of EventBridge do not meet. SNS itself puts what it could not deliver into an encrypted queue.
TELLERS: Final = ("cloudwatch.amazonaws.com", "events.amazonaws.com", "backup.amazonaws.com", "ses.amazonaws.com", "sns.amazonaws.com")
ALERTING: Final = ("cloudwatch.amazonaws.com", "backup.amazonaws.com")
RETENTION: Final = {30: logs.RetentionDays.ONE_MONTH, 90: logs.RetentionDays.THREE_MONTHS}
ENDPOINTS: Final = {
    "Ssm": ec2.InterfaceVpcEndpointAwsService.SSM,
    "SsmMessages": ec2.InterfaceVpcEndpointAwsService.SSM_MESSAGES,
    "Secrets": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    "Queues": ec2.InterfaceVpcEndpointAwsService.SQS,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
}


class Foundation(Stack):
    def __init__(self, scope: Construct, id: str, **given: Any) -> None:
        super().__init__(scope, id, **given)
        self.key = self._key()
        self.network = self._network()
        self.machines = self._machines()
        self.access_logs = self._access_logs()
        self.alerts = self._alerts()

    def log_group(self, name: str, path: str) -> logs.LogGroup:
        return log_group(self, self, name, path)

    def _key(self) -> kms.Key:
        key = kms.Key(
            self, "Key", description=f"All that Atrium keeps in {self.settings.name}", enable_key_rotation=True, removal_policy=cdk.RemovalPolicy.RETAIN
        )
        for teller in TELLERS:
            key.grant(iam.ServicePrincipal(teller), "kms:Decrypt", "kms:GenerateDataKey*")
        # Auto Scaling tells the topic by its own role, as any caller of this account: a role that need not exist yet.
        callers = {"StringEquals": {"kms:CallerAccount": cdk.Aws.ACCOUNT_ID, "kms:ViaService": f"sns.{cdk.Aws.REGION}.amazonaws.com"}}
        key.grant(iam.AnyPrincipal().with_conditions(callers), "kms:Decrypt", "kms:GenerateDataKey*")
        writer = iam.ServicePrincipal(
            f"logs.{cdk.Aws.REGION}.amazonaws.com",
            conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": self.here("logs", "log-group:*")}},
        )
        key.grant(writer, "kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*")
        return key

    def _network(self) -> ec2.Vpc:
        """Two zones: public for the load balancer, private for machines, and one without any way out for what holds data."""
        network = ec2.Vpc(
            self,
            "Network",
            ip_addresses=ec2.IpAddresses.cidr(self.settings.network),
            max_azs=2,
            nat_gateways=self.settings.gateways,
            restrict_default_security_group=True,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False),
                ec2.SubnetConfiguration(name="app", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20),
                ec2.SubnetConfiguration(name="data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
        )
        flows = self.log_group("Flows", "flows")
        network.add_flow_log("FlowLog", destination=ec2.FlowLogDestination.to_cloud_watch_logs(flows), traffic_type=ec2.FlowLogTrafficType.ALL)
        network.add_gateway_endpoint("Files", service=ec2.GatewayVpcEndpointAwsService.S3)
        if self.settings.endpoints:
            inside = ec2.SecurityGroup(self, "Endpoints", vpc=network, description="Services of AWS inside the network", allow_all_outbound=False)
            inside.add_ingress_rule(ec2.Peer.ipv4(self.settings.network), ec2.Port.tcp(443), "From the network")
            for name, kind in ENDPOINTS.items():
                network.add_interface_endpoint(name, service=kind, security_groups=[inside], open=False)
        return network

    def _machines(self) -> ec2.SecurityGroup:
        """Of every machine. Who may reach them, and what they may reach besides the web, is written where that other side lives."""
        machines = ec2.SecurityGroup(self, "Machines", vpc=self.network, description="Machines of Atrium", allow_all_outbound=False)
        machines.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "Services of AWS, Slack, push providers")
        return machines

    def _access_logs(self) -> s3.Bucket:
        """With S3's own key: the load balancer cannot write with another."""
        return s3.Bucket(
            self,
            "AccessLogs",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(self.settings.log_days), noncurrent_version_expiration=cdk.Duration.days(7))],
            removal_policy=self.kept,
        )

    def _alerts(self) -> sns.Topic:
        topic = sns.Topic(self, "Alerts", topic_name=self.named(names.TOPICS["alerts"]), master_key=self.key, enforce_ssl=True)
        tellers = [iam.ServicePrincipal("events.amazonaws.com"), *(service(name) for name in ALERTING)]
        for teller in tellers:
            topic.add_to_resource_policy(iam.PolicyStatement(actions=["sns:Publish"], principals=[teller], resources=[topic.topic_arn]))
        return topic


def joined(stack: Stack, name: str, source: ec2.SecurityGroup, target: ec2.SecurityGroup, port: int) -> None:
    """From one group to the other, both ways written in the stack that asks: in the group's own they would make a circle of stacks."""
    ec2.CfnSecurityGroupIngress(
        stack,
        f"{name}In",
        group_id=target.security_group_id,
        source_security_group_id=source.security_group_id,
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
    )
    ec2.CfnSecurityGroupEgress(
        stack,
        f"{name}Out",
        group_id=source.security_group_id,
        destination_security_group_id=target.security_group_id,
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
    )


def log_group(stack: Stack, ground: Foundation, name: str, path: str) -> logs.LogGroup:
    return logs.LogGroup(
        stack,
        name,
        log_group_name=stack.named(names.LOGS, role=path),
        encryption_key=ground.key,
        retention=RETENTION[stack.settings.log_days],
        removal_policy=stack.kept,
    )
