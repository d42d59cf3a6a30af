"""One property broken at a time; each must be noticed by the check that is meant to. A check that no breakage belongs to proves nothing."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from deploy.checks import graph
from deploy.checks.world import World

REMOVED: Final = object()
_OPEN: Final = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"}
_SSH: Final = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/8"}
_EVERYTHING: Final = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
_STAR: Final = {"Effect": "Allow", "Action": "rds:*", "Resource": "arn:aws:rds:::db"}


@dataclass(frozen=True)
class Breakage:
    """In prod: of the resources of `kind` in `stack` the first whose id begins so, `path` within it set to `value`, or removed. Noticed by `check`."""

    check: str
    stack: str
    kind: str
    path: str
    value: Any
    begins: str = ""
    whole: bool = False  # the path begins at the resource, not at its properties

    def __str__(self) -> str:
        return f"{self.check}: {self.kind} {self.begins} {self.path}"


B = Breakage
BREAKAGES: Final[tuple[Breakage, ...]] = (
    B("two_zones", "foundation", "AWS::EC2::Subnet", "AvailabilityZone", {"Fn::Select": [0, {"Fn::GetAZs": ""}]}, begins="NetworkappSubnet2"),
    B("two_zones", "foundation", "AWS::EC2::VPC", "CidrBlock", "10.65.0.0/16"),
    B("data_has_no_way_out", "data", "AWS::RDS::DBSubnetGroup", "SubnetIds", [{"Fn::ImportValue": "elsewhere"}]),
    B("machines_are_private", "foundation", "AWS::EC2::Subnet", "MapPublicIpOnLaunch", True),
    B("machines_are_private", "app", "AWS::EC2::LaunchTemplate", "LaunchTemplateData.NetworkInterfaces.0.AssociatePublicIpAddress", True),
    B("machines_are_private", "app", "AWS::AutoScaling::AutoScalingGroup", "VPCZoneIdentifier", [{"Fn::ImportValue": "public"}]),
    B("only_cloudfront_gets_in", "app", "AWS::EC2::SecurityGroup", "SecurityGroupIngress", [_OPEN], begins="BalancerGroup"),
    B("only_cloudfront_gets_in", "app", "AWS::EC2::SecurityGroupIngress", "FromPort", 80, begins="BalancerGroup"),
    B("no_ssh", "foundation", "AWS::EC2::SecurityGroup", "SecurityGroupIngress", [_SSH], begins="Machines"),
    B("no_ssh", "app", "AWS::EC2::LaunchTemplate", "LaunchTemplateData.KeyName", "mine"),
    B("data_only_from_machines", "data", "AWS::EC2::SecurityGroupIngress", "SourceSecurityGroupId", {"Fn::ImportValue": "anybody"}),
    B("data_only_from_machines", "data", "AWS::EC2::SecurityGroupIngress", "ToPort", 65535),
    B("flows_are_kept", "foundation", "AWS::EC2::FlowLog", "TrafficType", "REJECT"),
    B("default_group_is_empty", "foundation", "Custom::VpcRestrictDefaultSG", "Type", "AWS::CloudFormation::WaitConditionHandle", whole=True),
    B("database_is_safe", "data", "AWS::RDS::DBInstance", "MultiAZ", False, begins="Database"),
    B("database_is_safe", "data", "AWS::RDS::DBInstance", "StorageEncrypted", False, begins="Database"),
    B("database_is_safe", "data", "AWS::RDS::DBInstance", "DeletionProtection", REMOVED, begins="Database"),
    B("database_is_safe", "data", "AWS::RDS::DBInstance", "EnableIAMDatabaseAuthentication", False, begins="Database"),
    B("database_is_safe", "data", "AWS::RDS::DBInstance", "BackupRetentionPeriod", 1, begins="Database"),
    B("database_is_safe", "data", "AWS::RDS::DBInstance", "PubliclyAccessible", True, begins="Reader"),
    B("no_password_in_a_template", "data", "AWS::RDS::DBInstance", "MasterUserPassword", "correct horse", begins="Database"),
    B("no_password_in_a_template", "data", "AWS::RDS::DBInstance", "ManageMasterUserPassword", True, begins="Database"),
    B("tls_to_the_database", "data", "AWS::RDS::DBParameterGroup", "Parameters", {"rds.force_ssl": "0"}),
    B("what_holds_data_is_kept", "data", "AWS::EFS::FileSystem", "DeletionPolicy", "Delete", whole=True),
    B("what_holds_data_is_kept", "data", "AWS::RDS::DBInstance", "DeletionPolicy", "Delete", begins="Database", whole=True),
    B("files_are_safe", "data", "AWS::EFS::FileSystem", "Encrypted", False),
    B("files_are_safe", "data", "AWS::EFS::AccessPoint", "PosixUser", REMOVED),
    B("buckets_are_closed", "data", "AWS::S3::Bucket", "PublicAccessBlockConfiguration.BlockPublicPolicy", False),
    B("buckets_are_closed", "data", "AWS::S3::BucketPolicy", "PolicyDocument.Statement", []),
    B("uploads_get_cheaper", "data", "AWS::S3::Bucket", "LifecycleConfiguration", REMOVED, begins="Uploads"),
    B("queues_have_an_end", "data", "AWS::SQS::Queue", "RedrivePolicy.maxReceiveCount", 1000, begins="Queue"),
    B("queues_have_an_end", "data", "AWS::SQS::Queue", "VisibilityTimeout", 30, begins="Queue"),
    B("queues_have_an_end", "data", "AWS::SQS::Queue", "MessageRetentionPeriod", 3600, begins="Dead"),
    B("everything_is_backed_up", "data", "AWS::Backup::BackupSelection", "BackupSelection.Resources", []),
    B("everything_is_backed_up", "data", "AWS::Backup::BackupPlan", "BackupPlan.BackupPlanRule.0.Lifecycle.DeleteAfterDays", 1),
    B("everything_is_backed_up", "data", "AWS::Backup::BackupPlan", "BackupPlan.BackupPlanRule.0.CopyActions", REMOVED),
    B("windows_are_apart", "data", "AWS::RDS::DBInstance", "PreferredBackupWindow", "00:30-01:30", begins="Database"),
    B("keys_turn", "foundation", "AWS::KMS::Key", "EnableKeyRotation", False),
    B("logs_end", "app", "AWS::Logs::LogGroup", "RetentionInDays", REMOVED),
    B("logs_end", "observe", "AWS::Lambda::Function", "LoggingConfig", REMOVED),
    B("groups_replace_before_they_end", "app", "AWS::AutoScaling::AutoScalingGroup", "UpdatePolicy", REMOVED, whole=True),
    B(
        "groups_replace_before_they_end",
        "app",
        "AWS::AutoScaling::AutoScalingGroup",
        "UpdatePolicy.AutoScalingInstanceRefresh.Preferences.MinHealthyPercentage",
        50,
        whole=True,
    ),
    B("groups_replace_before_they_end", "app", "AWS::AutoScaling::AutoScalingGroup", "DesiredCapacity", "2"),
    B("groups_replace_before_they_end", "app", "AWS::AutoScaling::AutoScalingGroup", "MinSize", "1"),
    B("groups_replace_before_they_end", "app", "AWS::AutoScaling::AutoScalingGroup", "LifecycleHookSpecificationList", []),
    B("groups_replace_before_they_end", "app", "AWS::AutoScaling::AutoScalingGroup", "HealthCheckType", "EC2"),
    B("machines_are_hardened", "app", "AWS::EC2::LaunchTemplate", "LaunchTemplateData.MetadataOptions.HttpTokens", "optional"),
    B("machines_are_hardened", "app", "AWS::EC2::LaunchTemplate", "LaunchTemplateData.BlockDeviceMappings.0.Ebs.Encrypted", False),
    B("nothing_secret_at_launch", "app", "AWS::EC2::LaunchTemplate", "LaunchTemplateData.UserData", {"Fn::Base64": "export SECRET_KEY=abc"}),
    B("nothing_secret_at_launch", "app", "AWS::SSM::Parameter", "Value", "postgres://atrium:password@host/db"),
    B("nothing_secret_at_launch", "observe", "AWS::Lambda::Function", "Environment.Variables.SLACK", "https://hooks.slack.com/services/x"),
    B("balancer_is_strict", "app", "AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerAttributes", []),
    B("balancer_is_strict", "app", "AWS::ElasticLoadBalancingV2::Listener", "SslPolicy", "ELBSecurityPolicy-2016-08"),
    B("balancer_is_strict", "app", "AWS::ElasticLoadBalancingV2::Listener", "DefaultActions.0.Type", "forward"),
    B(
        "balancer_is_strict",
        "app",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "Conditions",
        [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}],
    ),
    B("health_touches_nothing", "app", "AWS::ElasticLoadBalancingV2::TargetGroup", "HealthCheckPath", "/healthz/ready"),
    B("health_touches_nothing", "app", "AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupAttributes", [{"Key": "stickiness.enabled", "Value": "true"}]),
    B("documents_are_there", "app", "AWS::SSM::Document", "Name", "another"),
    B("mail_is_told", "app", "AWS::SES::ConfigurationSet", "DeliveryOptions.TlsPolicy", "OPTIONAL"),
    B("mail_is_told", "app", "AWS::SES::ConfigurationSetEventDestination", "EventDestination.MatchingEventTypes", ["DELIVERY"]),
    B("edge_is_guarded", "edge", "AWS::CloudFront::Distribution", "DistributionConfig.WebACLId", REMOVED),
    B(
        "edge_is_guarded",
        "edge",
        "AWS::CloudFront::Distribution",
        "DistributionConfig.DefaultCacheBehavior.CachePolicyId",
        "658327ea-f89d-4fab-a63d-7e88639e58f6",
    ),
    B("edge_is_guarded", "edge", "AWS::CloudFront::Distribution", "DistributionConfig.Origins.0.CustomOriginConfig.OriginProtocolPolicy", "http-only"),
    B("edge_is_guarded", "edge", "AWS::CloudFront::Distribution", "DistributionConfig.ViewerCertificate.MinimumProtocolVersion", "TLSv1"),
    B("firewall_is_on", "edge", "AWS::WAFv2::WebACL", "Rules.1.Statement.ManagedRuleGroupStatement.RuleActionOverrides", REMOVED),
    B("firewall_is_on", "edge", "AWS::WAFv2::LoggingConfiguration", "ResourceArn", "elsewhere"),
    B("nobody_may_everything", "app", "AWS::IAM::Policy", "PolicyDocument.Statement.0", _EVERYTHING),
    B("nobody_may_everything", "app", "AWS::IAM::Policy", "PolicyDocument.Statement.0", _STAR),
    B("nobody_may_everything", "app", "AWS::IAM::Role", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AmazonS3FullAccess"]),
    B("nobody_may_everything", "access", "AWS::IAM::Role", "Type", "AWS::IAM::User", whole=True),
    B("every_alarm_tells", "observe", "AWS::CloudWatch::Alarm", "AlarmActions", []),
    B("every_alarm_tells", "observe", "AWS::CloudWatch::Alarm", "TreatMissingData", REMOVED),
    B("every_alarm_has_a_heading", "observe", "AWS::CloudWatch::Alarm", "AlarmName", "atrium-prod-unheard-of"),
    B("dead_letters_are_watched", "observe", "AWS::CloudWatch::Alarm", "Dimensions", [], begins="AlarmDeadLettersSending"),
    B("topics_can_be_used", "foundation", "AWS::KMS::Key", "KeyPolicy.Statement.1.Principal", {"Service": "nobody.amazonaws.com"}),
    B("topics_can_be_used", "foundation", "AWS::KMS::Key", "KeyPolicy.Statement.1.Condition", {"StringEquals": {"aws:SourceAccount": "1"}}),
    B("topics_can_be_used", "foundation", "AWS::SNS::Topic", "KmsMasterKeyId", REMOVED),
    B("people_and_slack_are_told", "observe", "AWS::SNS::Subscription", "Protocol", "sms", begins="ToPeople"),
    B("people_and_slack_are_told", "observe", "AWS::Lambda::Permission", "Principal", "events.amazonaws.com"),
    B("events_are_told", "observe", "AWS::Events::Rule", "EventPattern.detail.EventID", ["RDS-EVENT-0004"], begins="EventsDatabase"),
    B("events_are_told", "observe", "AWS::Events::Rule", "State", "DISABLED", begins="EventsBackups"),
)


def unnoticed(world: World) -> Iterator[str]:
    """Breakages that their check lets pass, and checks that nothing tries."""
    checks: dict[str, Callable[[World], Iterator[str]]] = {check.__name__: check for check in graph.CHECKS}
    yield from (f"No breakage tries {name}." for name in sorted(checks.keys() - {each.check for each in BREAKAGES}))
    for breakage in BREAKAGES:
        before = list(checks[breakage.check](world))
        after = list(checks[breakage.check](World(world.environment, broken(world, breakage))))
        if len(after) <= len(before) and set(after) <= set(before):
            yield f"{breakage} is not noticed."


def broken(world: World, breakage: Breakage) -> dict[str, Any]:
    templates = {**world.templates, breakage.stack: copy.deepcopy(world.templates[breakage.stack])}
    resources = templates[breakage.stack]["Resources"]
    found = next((each for id, each in resources.items() if each["Type"] == breakage.kind and id.startswith(breakage.begins)), None)
    if found is None:
        raise LookupError(f"{breakage}: there is no such resource.")
    here: Any = found if breakage.whole else found.setdefault("Properties", {})
    *path, last = (int(step) if step.isdecimal() else step for step in breakage.path.split("."))
    for step in path:
        here = here[step]
    if breakage.value is REMOVED:
        del here[last]
    else:
        here[last] = breakage.value
    return templates
